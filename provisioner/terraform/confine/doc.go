// Package confine runs a program in a box: it reads and writes the paths that it is given and no others,
// has no network, no capabilities, sees no process outside, has no environment but the one it is handed, and takes
// no more of the machine than its bounds.
//
// Three ways lead there, and the first that works on this machine is taken (a run of it is the proof):
// bubblewrap, the whole box; Landlock with what namespaces can be had, most of it; and none. What a way lacks it
// says, for a person to read (Confiner.Mode). Bounds hold in each, by cgroups where the daemon may make
// some (version 1 and 2) and by resource limits.
//
// Paths inside are those outside, so that somebody outside the box can name a path to the program.
package confine
