package layers_test

import (
	"io/fs"
	"path/filepath"
	"testing"
)

// storeRooms are the packages of the store. The package above them is the only door: it has names for their types, and nobody else imports
// them but to open, copy or test a database.
var storeRooms = []room{
	{name: "internal/store", may: []string{"internal/fleet", "internal/ledger"}, reach: append(dockerSDK, awsSDK...), why: "the store records; deciding and acting are elsewhere"},
	{name: "internal/store/sqlkit", may: nowhere, reach: append(dockerSDK, awsSDK...), why: "transactions and columns are the same whatever is kept: no word of the domain"},
	{name: "internal/store/dialect", may: []string{"internal/fleet", "internal/store/sqlkit", "internal/store/migrations"}, reach: append(dockerSDK, awsSDK...), why: "what a database is like does not depend on what is kept in it"},
	{name: "internal/store/migrations", may: nowhere, reach: append(dockerSDK, awsSDK...), why: "a migration describes the schema of its time, not today's types"},
	{name: "internal/store/record", may: []string{"internal/fleet", "internal/ledger", "internal/store/sqlkit"}, reach: append(dockerSDK, awsSDK...), why: "columns are bound to fields without a database"},
	{name: "internal/store/txn", may: []string{"internal/fleet", "internal/ledger", "internal/failpoint", "internal/store/sqlkit", "internal/store/dialect", "internal/store/record"}, reach: append(dockerSDK, awsSDK...), why: "a transaction does not know what is changed in it"},
	{name: "internal/store/inspect", may: []string{"internal/fleet", "internal/store/dialect"}, reach: append(dockerSDK, awsSDK...), why: "it looks at a database of any version"},
	{name: "internal/store/dump", may: []string{"internal/fleet", "internal/store/sqlkit", "internal/store/dialect", "internal/store/migrations", "internal/store/record", "internal/store/inspect"}, reach: append(dockerSDK, awsSDK...), why: "it copies a database that nobody may have opened"},
	storeRoom("billing"), storeRoom("election"), storeRoom("feed"), storeRoom("logs"), storeRoom("retention"), storeRoom("settings"),
	{name: "internal/store/storetest", may: nil, why: "it tests all of the store"},
}

// storeRoom is the rule of a package with records beside the atomic aggregate: it takes a database, and neither the store nor a sister.
func storeRoom(name string) room {
	return room{
		name: "internal/store/" + name, may: []string{"internal/fleet", "internal/ledger", "internal/store/sqlkit", "internal/store/record", "internal/store/txn"},
		reach: append(dockerSDK, awsSDK...), why: "what is not part of the atomic aggregate knows transactions, and neither the aggregate nor its sisters",
	}
}

func TestStoreIsSmall(t *testing.T) {
	root, measured := filepath.Join(moduleRoot(t), "internal", "store"), 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			return nil
		}
		if d.Name() == "storetest" {
			return filepath.SkipDir // suites of tests
		}
		measured++
		all := sizeOf(t, path)
		for _, over := range all.over() {
			t.Errorf("%s: %s", path, over)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := len(storeRooms) - 1; measured < want {
		t.Errorf("measured %d packages of the store, want the %d that have rules", measured, want)
	}
}
