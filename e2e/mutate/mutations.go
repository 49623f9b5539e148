package main

// mutation is one safeguard that is removed, and the tests that must notice.
type mutation struct {
	// name says what is removed.
	name string
	// old, found exactly once in file, becomes new.
	file, old, new string
	// pkg and run are the tests.
	pkg, run string
}

var mutations = []mutation{
	{
		name: "the fence: a late worker's generation is not looked at",
		file: "internal/store/change.go",
		old:  "case x.Generation != 0 && x.Generation != env.Work.Generation:",
		new:  "case x.Generation < 0:",
		pkg:  "./internal/store", run: "^TestSQLite$/^(Change|Work)$",
	},
	{
		name: "SKIP LOCKED: workers wait for each other's rows",
		file: "internal/store/dialect.go",
		old:  `" FOR NO KEY UPDATE SKIP LOCKED"`,
		new:  `" FOR NO KEY UPDATE"`,
		pkg:  "./internal/store", run: "^TestPostgresTakeWorkDoesNotWait$|^TestPostgres$/^Work$",
	},
	{
		name: "the claim's lock: two may find the same warm row",
		file: "internal/store/claim.go",
		old:  "findWarm+s.skipLocked()",
		new:  "findWarm",
		pkg:  "./internal/store", run: "^TestPostgresDaemons$/claimant",
	},
	{
		name: "the owner label filter: everything at the engine is listed",
		file: "provisioner/docker/inventory.go",
		old:  `ours := filters.NewArgs(filters.Arg("label", provisioner.LabelInstance+"="+instance))`,
		new:  `ours := filters.NewArgs()`,
		pkg:  "./provisioner/docker", run: "^TestInventoryRemove$|^TestRemoveOnlyOurs$",
	},
	{
		name: "the quota's lock: usage is read and not locked",
		file: "internal/store/usage.go",
		old:  "tx.QueryContext(ctx, lockUsageSQL(len(scopes)), args...)",
		new:  `tx.QueryContext(ctx, "SELECT kind, tenant, name, environments, milli_cpus, memory_mib FROM usage")`,
		pkg:  "./internal/store", run: "^TestPostgresDaemons$/slots",
	},
	{
		name: "the quota in a shared transaction: what others were just admitted to is not counted",
		file: "internal/store/together.go",
		old:  "	tx.standing.promised.use(&one.a.Env, 1)\n",
		new:  "",
		pkg:  "./internal/store", run: "^TestAdmissionsTogether$",
	},
	{
		name: "a lost answer to a commit: what may have been kept is done again",
		file: "internal/store/together.go",
		old:  "return slices.Repeat([]error{err}, len(all))",
		new:  "return slices.Repeat([]error{errAlone}, len(all))",
		pkg:  "./internal/store", run: "^TestCommitReplyLostTogether$",
	},
	{
		name: "intent before create: a network is used and not written down",
		file: "internal/engine/create.go",
		old:  "		row.Network = name\n",
		new:  "",
		pkg:  "./internal/engine", run: "^TestPromiseLabelBeforeCreate$",
	},
	{
		name: "the health probe at a claim",
		file: "internal/engine/personalise.go",
		old:  "	h, err := e.host(env.Host)\n	if err != nil {\n		return err\n	}\n	// Whoever asked",
		new:  "	h, err := e.host(env.Host)\n	if err != nil || len(files) == 0 {\n		return err\n	}\n	// Whoever asked",
		pkg:  "./internal/engine", run: "^TestPromiseHealthProbeAtClaim$",
	},
	{
		name: "the MAC check: labels that anybody can write are believed",
		file: "internal/engine/census.go",
		old:  "if !e.labels.Verify(f.Labels) {",
		new:  "if len(f.Labels) == 0 {",
		pkg:  "./internal/engine", run: "^TestForgedLabelsAreNeverTouched$|^TestPromiseOnlyOurs$",
	},
	{
		name: "a refill's revision: two controllers make the same member",
		file: "internal/store/pools.go",
		old:  "s.poolForUpdate(ctx, tx, pool, revision); err != nil",
		new:  "s.poolForUpdate(ctx, tx, pool, 0); err != nil",
		pkg:  "./internal/store", run: "^TestSQLite$/^Pools$",
	},
	{
		name: "marks: a claim is handed over and noted nowhere but in the database",
		file: "internal/engine/claim.go",
		old:  "if err := e.noteMarks(); err != nil {",
		new:  "if err := error(nil); err != nil {",
		pkg:  "./internal/engine", run: "^TestMarksComeBeforeWhatIsGiven$",
	},
	{
		name: "a restored database: what was committed before is not missed",
		file: "internal/store/tx.go",
		old:  "if tx.events > 0 && tx.events <= events || tx.receipts > 0 && tx.receipts <= receipts {",
		new:  "if events < 0 || receipts < 0 {",
		pkg:  "./internal/store", run: "^TestDatabaseSetBack$",
	},
}
