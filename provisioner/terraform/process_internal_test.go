package terraform

import "testing"

// TestWhereToReachAProviderIsQuotedForAShell: a state folder may have an apostrophe in its name.
func TestWhereToReachAProviderIsQuotedForAShell(t *testing.T) {
	line := `	TF_REATTACH_PROVIDERS='{"registry.terraform.io/kreuzwerker/docker":{"Protocol":"grpc","ProtocolVersion":5,"Pid":7,"Test":true,` +
		`"Addr":{"Network":"unix","String":"/home/o'\''neil/it'\''s/plugin1"}}}'`
	value, ok := reattachValue([]byte(line))
	if !ok {
		t.Fatal("the line is not seen")
	}
	config, err := parseReattach(value)
	if err != nil || config.Addr.String != "/home/o'neil/it's/plugin1" || config.Pid != 7 {
		t.Errorf("got %+v, %v", config, err)
	}
	if _, ok := reattachValue([]byte("something else")); ok {
		t.Error("another line is taken for it")
	}
}
