package broker

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/provisioner"
)

// call is one of the calls that a door knows.
type call string

const (
	callPing            call = "ping"
	callVersion         call = "version"
	callInfo            call = "info"
	callListImages      call = "list images"
	callInspectImage    call = "inspect image"
	callCreateContainer call = "create container"
	callStartContainer  call = "start container"
	callStopContainer   call = "stop container"
	callWaitContainer   call = "wait for container"
	callRemoveContainer call = "remove container"
	callListContainers  call = "list containers"
	callInspect         call = "inspect container"
	callCreateVolume    call = "create volume"
	callInspectVolume   call = "inspect volume"
	callRemoveVolume    call = "remove volume"
)

// request is what a provider asks for, once it is understood.
type request struct {
	call call
	// id is an object's complete id, name the one that a create wants or that a volume has.
	id, name string
}

// routes are all calls that pass, with the parameters that each may have. Default is to refuse: exec, attach, archive, build, pull,
// commit, update, rename, networks, plugins, swarm, events and whatever comes with later engines are no calls of a blueprint.
var routes = []struct {
	method  string
	path    *regexp.Regexp
	call    call
	queries []string
}{
	{"HEAD", regexp.MustCompile(`^/_ping$`), callPing, nil},
	{"GET", regexp.MustCompile(`^/_ping$`), callPing, nil},
	{"GET", regexp.MustCompile(`^/version$`), callVersion, nil},
	{"GET", regexp.MustCompile(`^/info$`), callInfo, nil},
	{"GET", regexp.MustCompile(`^/images/json$`), callListImages, []string{"all", "filters", "digests", "shared-size", "manifests"}},
	{"GET", regexp.MustCompile(`^/images/(?P<id>sha256:[0-9a-f]{64})/json$`), callInspectImage, nil},
	{"POST", regexp.MustCompile(`^/containers/create$`), callCreateContainer, []string{"name"}},
	{"POST", regexp.MustCompile(`^/containers/(?P<id>[0-9a-f]{64})/start$`), callStartContainer, nil},
	{"POST", regexp.MustCompile(`^/containers/(?P<id>[0-9a-f]{64})/stop$`), callStopContainer, []string{"t", "signal"}},
	{"POST", regexp.MustCompile(`^/containers/(?P<id>[0-9a-f]{64})/wait$`), callWaitContainer, []string{"condition"}},
	{"DELETE", regexp.MustCompile(`^/containers/(?P<id>[0-9a-f]{64})$`), callRemoveContainer, []string{"force", "v", "link"}},
	{"GET", regexp.MustCompile(`^/containers/json$`), callListContainers, []string{"all", "filters", "limit", "size"}},
	{"GET", regexp.MustCompile(`^/containers/(?P<id>[0-9a-f]{64})/json$`), callInspect, []string{"size"}},
	{"POST", regexp.MustCompile(`^/volumes/create$`), callCreateVolume, nil},
	{"GET", regexp.MustCompile(`^/volumes/(?P<name>[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127})$`), callInspectVolume, nil},
	{"DELETE", regexp.MustCompile(`^/volumes/(?P<name>[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127})$`), callRemoveVolume, []string{"force"}},
}

var versionPrefix = regexp.MustCompile(`^/v1\.[0-9]{1,3}/`)

// parse understands a request or gives a Refusal. It looks at the path as it was sent: a spelling that decodes to something
// else (%2f, doubled slashes, dots) matches no route.
func parse(r *http.Request) (request, error) {
	sent, _, _ := strings.Cut(r.RequestURI, "?")
	path := sent
	if p := versionPrefix.FindString(path); p != "" {
		path = path[len(p)-1:]
	}
	refused := func(want string) (request, error) {
		return request{call: call(shorten(r.Method + " " + sent))}, &provisioner.Refusal{
			Attribute: "the engine's API", Found: shorten(r.Method + " " + sent), Want: want,
		}
	}
	if r.Header.Get("Upgrade") != "" {
		return refused("no upgraded connection")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refused("a query that can be read")
	}
	for _, route := range routes {
		m := route.path.FindStringSubmatch(path)
		if m == nil || r.Method != route.method {
			continue
		}
		asked := request{call: route.call}
		for i, group := range route.path.SubexpNames() {
			switch group {
			case "id":
				asked.id = m[i]
			case "name":
				asked.name = m[i]
			}
		}
		for key, values := range query {
			if len(values) != 1 || !slices.Contains(route.queries, key) {
				return refused("the parameters that this call has, each once")
			}
		}
		if route.call == callCreateContainer {
			asked.name = query.Get("name")
		}
		return asked, nil
	}
	return refused("only what making and removing containers and volumes needs")
}

// shorten makes what a blueprint sent fit for a sentence.
func shorten(s string) string {
	const most = 120
	var out strings.Builder
	for _, r := range s {
		if out.Len() >= most {
			return out.String() + "..."
		}
		if r < ' ' || r == 0x7f {
			r = '?'
		}
		out.WriteRune(r)
	}
	return out.String()
}
