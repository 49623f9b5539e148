package daemon_test

import (
	"os"
	"testing"

	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
