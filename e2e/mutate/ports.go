package main

// ofPorts are mutations of the code that reaches the ports of sandboxes.
var ofPorts = []mutation{
	{
		name: "ports: a thread stays in the sandbox's network namespace",
		file: "provisioner/docker/ports/enter.go",
		old:  `if stays := setns(own, unix.CLONE_NEWNET); stays != nil {`,
		new:  `if stays := setns(ns, unix.CLONE_NEWNET); stays != nil {`,
		pkg:  "./provisioner/docker/ports", run: "^TestPortsLeaveNoThread$",
	},
	{
		name: "ports: a thread that cannot go back runs on",
		file: "provisioner/docker/ports/enter.go",
		old:  `if fd, back, err = socketOnThread(ns); back {`,
		new:  `if fd, back, err = socketOnThread(ns); back || err != nil {`,
		pkg:  "./provisioner/docker/ports", run: "^TestPortsLeaveNoThread$",
	},
	{
		name: "ports: a process is not verified to be the container's",
		file: "provisioner/docker/ports/enter.go",
		old:  `if !held.MainOf(id) || started == 0`,
		new:  `if started == 0`,
		pkg:  "./provisioner/docker/ports", run: "^TestPromisePortsAreOfTheSandbox$",
	},
	{
		name: "ports: a process is not verified by its start",
		file: "provisioner/docker/ports/enter.go",
		old:  `main.started != 0 && started != main.started {`,
		new:  `main.started != 0 && started == 0 {`,
		pkg:  "./provisioner/docker/ports", run: "^TestPromisePortsAreOfTheSandbox$",
	},
	{
		name: "ports: the machine's own namespace is entered",
		file: "provisioner/docker/ports/enter.go",
		old:  `if isMachines(ns) {`,
		new:  `if isMachines(ns) && ns < 0 {`,
		pkg:  "./provisioner/docker/ports", run: "^TestPortsNeverTheMachines$",
	},
	{
		name: "ports: a socket that is connected to itself is an answer",
		file: "provisioner/docker/ports/enter.go",
		old:  `err == nil && ok && at.Port == port {`,
		new:  `err == nil && ok && at.Port < port {`,
		pkg:  "./provisioner/docker/ports", run: "^TestDialNotItself$",
	},
	{
		name: "ports: a listener outlives its sandbox",
		file: "provisioner/docker/ports/enter.go",
		old:  `return hasEnded(int(fd)) })`,
		new:  `return hasEnded(int(fd)) && fd == 0 })`,
		pkg:  "./provisioner/docker/ports", run: "^TestListenerEndsWithTheSandbox$",
	},
	{
		name: "ports: a container of somebody else is entered",
		file: "provisioner/docker/ports/ports.go",
		old: `case c.ID != id || !p.engine.Owns(c.Config.Labels):
			return 0, nil, engine.Foreign`,
		new: `case c.ID != id:
			return 0, nil, engine.Foreign`,
		pkg: "./provisioner/docker/ports", run: "^TestPortsOnlyOurs$",
	},
}
