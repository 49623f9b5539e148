package confine

// WithoutGroups leaves a confiner no cgroups to make.
func (c *Confiner) WithoutGroups() { c.groups = &groups{} }

// HasGroups tells whether it can make those that bound memory and tasks.
func (c *Confiner) HasGroups() bool { return len(c.groups.parents) == 2 }
