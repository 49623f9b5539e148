package main

// ofContracts are mutations of the promises of every provider, and of the engine's use of them.
var ofContracts = []mutation{
	{
		name: "inventory: the selector's environment is ignored (fake)",
		file: "provisioner/fake/inventory.go",
		old:  "return f.Environment() != sel.Environment",
		new:  "return false",
		pkg:  "./provisioner/fake", run: "^TestConformance$/^cluster$/^memory$/^inventory$",
	},
	{
		name: "inventory: the selector's environment is ignored (Docker)",
		file: "provisioner/docker/inventory/inventory.go",
		old:  `ours.Add("label", provisioner.LabelEnvironment+"="+sel.Environment)`,
		new:  `ours.Add("label", provisioner.LabelInstance+"="+sel.Instance)`,
		pkg:  "./provisioner/docker", run: "^TestListOfOneEnvironment$",
	},
	{
		name: "inventory: a page is skipped",
		file: "provisioner/inventory.go",
		old:  "		all = append(all, page.Found...)\n",
		new:  "		if all == nil || page.Next == \"\" {\n			all = append(all, page.Found...)\n		}\n",
		pkg:  "./provisioner", run: "^TestListAllIsComplete$",
	},
	{
		name: "inventory: the first page is taken for the whole list",
		file: "provisioner/inventory.go",
		old:  "		if page.Next == \"\" {\n			return all, nil\n		}\n		if seen",
		new:  "		if len(all) > 0 {\n			return all, nil\n		}\n		if seen",
		pkg:  "./provisioner/fake", run: "^TestConformance$/^cluster$/^memory$/^inventory$",
	},
	{
		name: "inventory: what a list has before it fails is taken for the whole",
		file: "provisioner/inventory.go",
		old:  "		page, err := inventory.List(ctx, sel)\n		if err != nil {\n			return nil, err\n		}\n",
		new:  "		page, err := inventory.List(ctx, sel)\n		if err != nil {\n			return all, nil\n		}\n",
		pkg:  "./provisioner", run: "^TestAListThatFailsGivesNothing$",
	},
	{
		name: "inventory: resources are removed in the order of the list",
		file: "internal/engine/worker/destroy.go",
		old:  "	slices.SortFunc(mine, h.ByRemovalOrder)\n",
		new:  "	slices.SortFunc(mine, func(a, b provisioner.Found) int { return -h.ByRemovalOrder(a, b) })\n",
		pkg:  "./internal/daemon", run: "^TestWhatIsUsedGoesLast$",
	},
	{
		name: "proof of absence: a late list is believed at once",
		file: "internal/engine/target/look.go",
		old:  "	if lag == 0 {",
		new:  "	if lag >= 0 {",
		pkg:  "./internal/daemon", run: "^TestALateListProvesNothingSooner$",
	},
	{
		name: "capabilities: what is not declared is used",
		file: "provisioner/capabilities.go",
		old:  "	if !is || !r.Capabilities().declare((*T)(nil)) {",
		new:  "	if !is {",
		pkg:  "./internal/daemon", run: "^TestWithoutACapability$",
	},
}
