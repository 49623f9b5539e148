package engine

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/bothy-env/bothy/internal/fleet"
)

// settingKeyCheck tells whether a daemon has the installation's key, without giving the key away.
const settingKeyCheck = "key.check"

// checkKey refuses a daemon whose key is not that of the database's other daemons: it could read no
// state, and would take every label for forged.
func (e *Engine) checkKey(ctx context.Context) error {
	sum, err := hkdf.Key(sha256.New, e.cfg.Secret, nil, "bothy key check v1", 16)
	if err != nil {
		return fmt.Errorf("derive key check: %w", err)
	}
	mine := hex.EncodeToString(sum)
	kept, err := e.store.Setting(ctx, settingKeyCheck)
	if err == nil && kept == "" {
		if err = e.store.SetSetting(ctx, settingKeyCheck, mine); err == nil {
			kept, err = e.store.Setting(ctx, settingKeyCheck)
		}
	}
	if err != nil {
		return fmt.Errorf("check the installation's key: %w", err)
	}
	if kept != mine {
		return fleet.Errorf(fleet.CodeInvalid, "the database belongs to an installation with another key").
			WithHint("copy the file key from the state directory of a daemon that uses this database, or use another database")
	}
	return nil
}
