package config

import "strings"

// Variables returns the proxy variables of commands in sandboxes, NAME=value, in upper and lower case: programs read one or the other.
func (s Sandbox) Variables() []string {
	var all []string
	for _, v := range []struct{ name, value string }{
		{"HTTP_PROXY", s.HTTPProxy}, {"HTTPS_PROXY", s.HTTPSProxy}, {"NO_PROXY", strings.Join(s.NoProxy, ",")},
	} {
		if v.value != "" {
			all = append(all, v.name+"="+v.value, strings.ToLower(v.name)+"="+v.value)
		}
	}
	return all
}
