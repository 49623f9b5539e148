package fleet_test

import (
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
)

func TestAReferenceIsAnIdANameOrAnothersName(t *testing.T) {
	for text, want := range map[string]fleet.Reference{
		"web":                 {Word: "web"},
		"4eiks6crmcptodxg":    {Word: "4eiks6crmcptodxg"},
		"id:4eiks6crmcptodxg": {ID: "4eiks6crmcptodxg"},
		"id:web":              {ID: "web"},
		"id:":                 {},
		"":                    {},
		"zoo/web":             {Word: "web", Tenant: "zoo"},
		"zoo/id:web":          {Word: "id:web", Tenant: "zoo"},
		"id:zoo/web":          {ID: "zoo/web"},
		"a/b/c":               {Word: "b/c", Tenant: "a"},
		"/web":                {Word: "web"},
	} {
		if got := fleet.ParseReference(text); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}

func TestWhatHasTheFormOfAnId(t *testing.T) {
	for word, want := range map[string]bool{
		"4eiks6crmcptodxg": true, "abcdefghijklmnop": true, "2222222222222222": true,
		"4eiks6crmcptodx": false, "4eiks6crmcptodxgg": false, "4eiks6crmcptodx-": false, "4eiks6crmcptodx8": false, "4eiks6crmcptodx1": false, "4EIKS6CRMCPTODXG": false, "": false,
		"ééééééé2": false,
	} {
		if got := fleet.IsID(word); got != want {
			t.Errorf("%q: %v", word, got)
		}
	}
}
