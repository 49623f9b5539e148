package vault

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// settingKeyCheck tells whether a daemon has the installation's key, without giving the key away.
const settingKeyCheck = "key.check"

// Settings are the small values of a database, of one that is open or was only found.
type Settings interface {
	Setting(ctx context.Context, name string) (string, error)
}

// HasKey reports whether a database belongs to an installation that has a key.
func HasKey(ctx context.Context, db Settings) (bool, error) {
	kept, err := db.Setting(ctx, settingKeyCheck)
	return kept != "", err
}

// FitsKey refuses a key that is not that of a database's other daemons. It writes nothing: a database without one fits any.
func FitsKey(ctx context.Context, db Settings, secret []byte) error {
	mine, err := keyCheck(secret)
	if err != nil {
		return err
	}
	kept, err := db.Setting(ctx, settingKeyCheck)
	if err != nil {
		return fmt.Errorf("check the installation's key: %w", err)
	}
	return sameKey(kept, mine)
}

// CheckKey refuses a daemon whose key is not that of the database's other daemons: it could read no
// state, and would take every label for forged. An empty database is from now on that of this key.
func CheckKey(ctx context.Context, db *store.Store, secret []byte) error {
	mine, err := keyCheck(secret)
	if err != nil {
		return err
	}
	// Whoever is first with a key on an empty database decides.
	kept, err := db.SettingOnce(ctx, settingKeyCheck, mine)
	if err != nil {
		return fmt.Errorf("check the installation's key: %w", err)
	}
	return sameKey(kept, mine)
}

// keyCheck is what a database keeps of its installation's key.
func keyCheck(secret []byte) (string, error) {
	sum, err := derive(secret, "bothy key check v1", 16)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(sum), nil
}

func sameKey(kept, mine string) error {
	if kept != "" && kept != mine {
		return fleet.Errorf(fleet.CodeInvalid, "the database belongs to an installation with another key").
			WithHint("copy the file key from the state directory of a daemon that uses this database, or use another database")
	}
	return nil
}
