package ledger_test

import (
	"testing"

	"github.com/bothy-env/bothy/internal/manycases"
)

func TestMain(m *testing.M) { manycases.Main(m) }
