package blueprint_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/blueprint/blueprinttest"
)

// Promise: what the broker refuses is refused before, by the same name. That the broker does is seen in e2e/isolation.
func TestPromiseTheLoaderRefusesWhatTheBrokerRefuses(t *testing.T) {
	for _, v := range blueprinttest.Variations() {
		t.Run(v.Name, func(t *testing.T) {
			_, err := blueprint.CheckFiles(v.Files)
			errs, _ := errors.AsType[blueprint.Errors](err)
			switch named := slices.ContainsFunc(errs, func(e blueprint.Error) bool { return strings.Contains(e.Found, v.Attribute) }); {
			case v.Attribute == "" && err != nil:
				t.Errorf("it is refused: %v", err)
			case v.Attribute != "" && !named:
				t.Errorf("the refusal does not name %s: %v", v.Attribute, err)
			}
		})
	}
}
