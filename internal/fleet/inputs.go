package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxInputLength is the most bytes of a string input, unless the blueprint sets a lower limit.
const maxInputLength = 16 << 10

// maxProblems is how many wrong inputs an error lists.
const maxProblems = 20

// CheckInputs checks the given inputs of a blueprint, converts each to string, int64, float64 or bool as the blueprint declares it, and
// fills in defaults. Numbers may be JSON or YAML numbers, or text from a command line. The error has CodeInvalid and names every wrong
// input.
func CheckInputs(bp Blueprint, given map[string]any) (map[string]any, error) {
	checked := make(map[string]any, len(bp.Inputs))
	var wrong []Field
	say := func(name, message string) { wrong = append(wrong, Field{Path: "inputs." + name, Message: message}) }
	names := make([]string, 0, len(bp.Inputs))
	for _, in := range bp.Inputs {
		names = append(names, in.Name)
		value, ok := given[in.Name]
		switch {
		case ok:
			v, err := in.Check(value)
			if err != nil {
				say(in.Name, err.Error())
			}
			checked[in.Name] = v
		case in.Required():
			say(in.Name, fmt.Sprintf("input %s: got nothing, want %s", in.Name, in.Allowed()))
		default:
			checked[in.Name] = in.Default
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(names, name) {
			say(name, unknownInput(bp, name, names))
		}
	}
	if more := len(wrong) - maxProblems; more > 0 {
		wrong = append(wrong[:maxProblems], Field{Message: fmt.Sprintf("and %d more", more)})
	}
	if len(wrong) > 0 {
		err := Errorf(CodeInvalid, "%s", sentenceOf(wrong)).WithHint("bothy blueprint show %s lists the inputs.", bp.Ref.Name)
		err.Fields = wrong
		return nil, err
	}
	return checked, nil
}

// sentenceOf is the sentence of an error about fields.
func sentenceOf(fields []Field) string {
	messages := make([]string, len(fields))
	for i, f := range fields {
		messages[i] = f.Message
	}
	return strings.Join(messages, "; ")
}

func unknownInput(bp Blueprint, name string, names []string) string {
	shown := strconv.Quote(cut(name))
	if len(names) == 0 {
		return fmt.Sprintf("input %s: got an unknown name, and blueprint %s has no inputs", shown, bp.Ref.Name)
	}
	want := "one of " + strings.Join(names, ", ")
	if near := Nearest(name, names); near != "" {
		want = "perhaps " + near + "; known inputs: " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("input %s: got an unknown name, want %s", shown, want)
}

// Check converts a value to the input's type and checks it against its limits.
func (i Input) Check(value any) (any, error) {
	v, ok := i.convert(value)
	if ok {
		var err error
		if ok, err = i.within(v); err != nil {
			return nil, err
		}
	}
	if !ok {
		return nil, fmt.Errorf("input %s: got %s, want %s", i.Name, describe(value), i.Allowed())
	}
	return v, nil
}

// Allowed describes the allowed values: "an integer from 16 to 1024".
func (i Input) Allowed() string {
	if len(i.Enum) > 0 {
		shown := make([]string, len(i.Enum))
		for n, v := range i.Enum {
			shown[n] = fmt.Sprint(v)
		}
		return "one of " + strings.Join(shown, ", ")
	}
	what, unit := "", ""
	switch i.Type {
	case "boolean":
		return "true or false"
	case "integer":
		what = "an integer"
	case "number":
		what = "a number"
	default:
		what, unit = "text", " bytes"
		if i.Pattern != "" {
			what += " that matches " + i.Pattern
		}
	}
	number := func(f *float64) string { return strconv.FormatFloat(*f, 'f', -1, 64) }
	switch {
	case i.Min != nil && i.Max != nil:
		return fmt.Sprintf("%s from %s to %s%s", what, number(i.Min), number(i.Max), unit)
	case i.Min != nil:
		return fmt.Sprintf("%s of at least %s%s", what, number(i.Min), unit)
	case i.Max != nil:
		return fmt.Sprintf("%s of at most %s%s", what, number(i.Max), unit)
	}
	return what
}

// convert returns the value in the input's type. Text becomes a number or a bool, but never the reverse: the version 1.10 would become
// 1.1.
func (i Input) convert(value any) (any, bool) {
	if n, ok := value.(json.Number); ok {
		value = string(n)
		if i.Type == "string" {
			return nil, false
		}
	}
	switch i.Type {
	case "string":
		s, ok := value.(string)
		return s, ok
	case "boolean":
		if s, ok := value.(string); ok && (s == "true" || s == "false") {
			return s == "true", true
		}
		b, ok := value.(bool)
		return b, ok
	case "integer":
		return integer(value)
	case "number":
		return number(value)
	}
	return nil, false
}

func integer(value any) (any, bool) {
	switch v := value.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case float64:
		// Above 2^53 a JSON number may have lost digits.
		return int64(v), v == math.Trunc(v) && math.Abs(v) <= 1<<53
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return nil, false
}

func number(value any) (any, bool) {
	switch v := value.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return nil, false
}

// within checks a converted value against enum, pattern and bounds. An error means that the blueprint is wrong.
func (i Input) within(value any) (bool, error) {
	if len(i.Enum) > 0 && !slices.Contains(i.Enum, value) {
		return false, nil
	}
	size := 0.0
	switch v := value.(type) {
	case bool:
		return true, nil
	case int64:
		size = float64(v)
	case float64:
		size = v
	case string:
		size = float64(len(v))
		if len(v) > maxInputLength || strings.ContainsRune(v, 0) {
			return false, nil
		}
		if i.Pattern != "" {
			re, err := regexp.Compile(`^(?:` + i.Pattern + `)$`)
			if err != nil {
				return false, fmt.Errorf("input %s: the blueprint's pattern is wrong: %w", i.Name, err)
			}
			if !re.MatchString(v) {
				return false, nil
			}
		}
	}
	return (i.Min == nil || size >= *i.Min) && (i.Max == nil || size <= *i.Max), nil
}

func describe(value any) string {
	switch v := value.(type) {
	case nil:
		return "nothing"
	case string:
		return strconv.Quote(cut(v))
	case bool, int, int64, json.Number:
		return cut(fmt.Sprint(v))
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case map[string]any:
		return "a map"
	case []any:
		return "a list"
	}
	return "something that is neither text, a number, true nor false"
}

func cut(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "..."
	}
	return s
}
