package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// EventData is what an event tells code, beside the sentence that it tells people: a JSON object, with its version as "v" and the
// fields of one of the types below. It is empty where code needs nothing. Code reads it, and never a sentence.
type EventData string

// MaxEventData is the most bytes that the data of one event may have.
const MaxEventData = 8 << 10

// eventData are the types that an event's data can be, each of one kind of event. The set is closed: a type that is not listed here
// cannot be written or read.
type eventData interface {
	ResourceSeen
	// event names the kind of event, and the version that this program writes and reads. A change that an older program
	// would misunderstand takes the next version.
	event() (kind string, version int)
}

// EventResourceSeen is the kind of event that tells of one resource of an environment. Its data is a ResourceSeen, and receipts
// are made from it: whatever crashes in between, what was seen once is in the receipt.
const EventResourceSeen = "resource.seen"

// ResourceSeen is a resource that an environment was made of, as its provider told of it.
type ResourceSeen struct {
	// Kind is the provider's word: "pod", "volume", ...
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// CreatedAt is the provider's time; nil when it told none.
	CreatedAt *time.Time `json:"created_at,omitempty"`
}

func (ResourceSeen) event() (string, int) { return EventResourceSeen, 1 }

// Text is the resource as the event's sentence tells it.
func (r ResourceSeen) Text() string {
	text := fmt.Sprintf("%s %s, id %s", r.Kind, r.Name, r.ID)
	if r.CreatedAt != nil {
		text += ", created " + r.CreatedAt.Format(time.RFC3339Nano)
	}
	return text
}

// WriteEventData gives v as an event carries it. CodeInternal: it has more than MaxEventData bytes.
func WriteEventData[T eventData](v T) (EventData, error) {
	kind, version := v.event()
	text, err := json.Marshal(v)
	if err != nil {
		return "", Errorf(CodeInternal, "encode the data of an event %s: %w", kind, err)
	}
	more := ","
	if string(text) == "{}" {
		more = ""
	}
	d := EventData(fmt.Sprintf(`{"v":%d%s%s`, version, more, text[1:]))
	return d, d.Check()
}

// ReadEventData gives an event's data. CodeInternal, with the reason: it is of another kind of event, has none, cannot be read, or is
// of a version that this program does not know. What is not known is refused, and never read as if it were.
func ReadEventData[T eventData](e Event) (v T, err error) {
	kind, version := v.event()
	fail := func(format string, args ...any) (T, error) {
		return *new(T), Errorf(CodeInternal, "event %d (%s): %w", e.Seq, e.Kind, fmt.Errorf(format, args...))
	}
	if e.Kind != kind {
		return fail("its data is not that of an event %s", kind)
	}
	if e.Data == "" {
		return fail("it has no data")
	}
	if err := e.Data.Check(); err != nil {
		return fail("%w", err)
	}
	fields, err := e.Data.Fields()
	if err != nil {
		return fail("%w", err)
	}
	if got := string(fields["v"]); got != fmt.Sprint(version) {
		return fail("its data has version %s, this bothyd reads version %d: upgrade it", got, version)
	}
	delete(fields, "v")
	text, err := json.Marshal(fields)
	if err != nil {
		return fail("%w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		return fail("read its data: %w", err)
	}
	return v, nil
}

// Fields gives the object's fields as they were written, "v" included; nil when there is no data.
func (d EventData) Fields() (fields map[string]json.RawMessage, err error) {
	if d == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(d), &fields); err != nil {
		return nil, fmt.Errorf("read data of an event: %w", err)
	}
	return fields, nil
}

// Check gives an error of CodeInternal unless the data is empty, or a JSON object with a version, of at most MaxEventData bytes.
func (d EventData) Check() error {
	if len(d) > MaxEventData {
		return Errorf(CodeInternal, "an event has %d bytes of data, above the limit of %d", len(d), MaxEventData)
	}
	if !utf8.ValidString(string(d)) {
		return Errorf(CodeInternal, "the data of an event is not UTF-8")
	}
	fields, err := d.Fields()
	if err != nil {
		return Errorf(CodeInternal, "%w", err)
	}
	var version int
	if d != "" && (json.Unmarshal(fields["v"], &version) != nil || version < 1) {
		return Errorf(CodeInternal, "the data of an event has no version: want a JSON object with v, from 1")
	}
	return nil
}
