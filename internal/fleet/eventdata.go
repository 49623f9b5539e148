package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// EventData is the machine-readable part of an event: a JSON object with its version as "v" and the fields of one of the types below. It
// is empty when code needs nothing. Code reads the data, never the message.
type EventData string

// MaxEventData is the most bytes of one event's data.
const MaxEventData = 8 << 10

// eventData are the types of event data, each for one kind of event. The set is closed: a type that is not listed here cannot be written
// or read.
type eventData interface {
	ResourceSeen
	// event returns the kind of event, and the version that this program writes and reads. A change that an older program would misread
	// requires the next version.
	event() (kind string, version int)
}

// EventResourceSeen is the kind of event that records one resource of an environment. Its data is a ResourceSeen. Receipts are made from
// these events, so that a resource that was seen once is in the receipt, whatever crashes in between.
const EventResourceSeen = "resource.seen"

// ResourceSeen is a resource of an environment, as its provider reported it.
type ResourceSeen struct {
	// Kind is the provider's word: "pod", "volume", ...
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// CreatedAt is the provider's time; nil if unknown.
	CreatedAt *time.Time `json:"created_at,omitempty"`
}

func (ResourceSeen) event() (string, int) { return EventResourceSeen, 1 }

// Text describes the resource in the event's message.
func (r ResourceSeen) Text() string {
	text := fmt.Sprintf("%s %s, id %s", r.Kind, r.Name, r.ID)
	if r.CreatedAt != nil {
		text += ", created " + r.CreatedAt.Format(time.RFC3339Nano)
	}
	return text
}

// WriteEventData encodes v as an event's data. CodeInternal: it has more than MaxEventData bytes.
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

// ReadEventData returns an event's data. CodeInternal, with the reason: the event is of another kind, has no data, its data cannot be
// read, or has a version that this program does not know. Unknown data is refused, never guessed.
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

// Fields returns the object's fields as written, "v" included; nil when there is no data.
func (d EventData) Fields() (fields map[string]json.RawMessage, err error) {
	if d == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(d), &fields); err != nil {
		return nil, fmt.Errorf("read data of an event: %w", err)
	}
	return fields, nil
}

// Check returns an error with CodeInternal unless the data is empty or a JSON object with a version, of at most MaxEventData bytes.
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
