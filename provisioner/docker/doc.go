package docker

// What runs inside a sandbox on bothy's behalf is in the hands of whoever is root there. This table says for each such
// helper what that person can do to it, what waits for it, and what bounds the wait. Nothing that ends an environment
// (removal, logs, inventory, metering of the engine's counters) needs a helper inside.
//
//	helper            root inside can                      who waits                        bounded by
//	----------------  -----------------------------------  -------------------------------  -----------------------------------
//	start of an exec  stop runc's init before it becomes   the caller of Exec or Stage;     CallTimeout from attach to the first
//	                  the command (dev can too, once it    the engine's lock on the         line; at most mostStarts a sandbox;
//	                  has dropped to dev); inspect and     container: inspect, rm -f        Kill from the host after killAfter
//	                  rm -f of the container then hang                                      (Remove, and the engine's endBlocked)
//	  user look-up    write /etc/passwd and /etc/group:    nobody: uid and gid are numbers  the image is read once, 1 MiB a file;
//	                  other uids, 200,000 lines            that come from the image         mostGroups groups
//	  the same files  put a named pipe there               a thread of the engine           mostStarts; wakeOnHost
//	  the same files  a line of 200 MB                     nobody: the engine refuses       its own loss: no exec works
//	/bin/sh wrapper   replace the shell; never print the   the caller, as for the start     as for the start
//	                  process id
//	  env, stty       replace them; dev cannot              the caller, as for the start     as for the start
//	full of processes fork until its bound is reached, so   the caller; Exec's abort         the bound is raised by pidsAside, and what
//	                  that nothing can be started                                           runs held still, while bothy starts
//	                                                                                        something (package limits)
//	running command   stop it, ignore signals, write or    the caller alone, as long as it  the caller's context; output is passed
//	                  read nothing                         wants to                         on in frames of 32 KiB
//	signal            stop it                              nobody: the command's own        CallTimeout
//	                                                       control goroutine
//	kill script       stop it; fork on; say it is done     Exec's abort, for CallTimeout;   CallTimeout a try; then the command
//	                  when it is not                       then the lingering goroutine of  lingers: 1 s to 30 s between tries,
//	                                                       the sandbox                      mostLingering, then no new commands
//	stage shell       stop it, end it                      Deliver, at a claim              CallTimeout (claim then takes another)
//	tar in, tar out   stop it; pack other things, longer   the caller of cp alone           the caller's context; entries are
//	                  and without an end                                                    checked as they stream
//	ports: Dial       accept nothing; end what listens,    the caller of Dial; no thread    the caller's context and CallTimeout
//	                  listen in its place
//	ports: Listen     take the port first; connect without whoever serves the connections   128 connections wait, the kernel drops
//	                  an end; send nothing                                                  more; what is accepted is the service's
//	runner            is none yet: steps run by Exec       -                                -
//
// A command begins on bothy's word only (see exec/wrap.go). So one whose caller left before a slow engine came to start it never
// begins, also when this process has ended meanwhile. A terminal cannot be asked for that word: a command on a terminal
// whose connection breaks between attach and start lingers until it can be killed; one whose attach itself was not answered
// in time may begin, and then runs until the sandbox goes.
//
// A terminal's input is never closed, as engines then close its output as well: its end is typed (see endTyping). What a
// shell would drop or change of a command's variables passes by as arguments of env.
//
// Commands have the supplementary groups that their user has in the image, which the engine finds there by itself (exec/identity.go).
// runc before 1.3 then looks each number up in the sandbox's own /etc/group, for a group that has it as its *name*: root inside can
// make one mean another, for the users of its own sandbox. Where the host's means are missing (see
// CanKill) a sandbox that blocks its engine stays until the engine is restarted; doctor reports it, and it keeps no slot of others.
//
// While containerd's shim starts a command it keeps 32 exits of other commands; it waits a second for each further one and
// then loses it (containerd's pkg/sys/reaper, as of 2.1; containerd pull request 13539). So where more than 32 commands of one
// sandbox end in the same moment, and one starts in that moment, that start takes a second longer for each, and commands whose
// exit was lost seem to run on: Exec says that the connection to them was lost. bothy's own helpers end fewer at once.
