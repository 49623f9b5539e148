locals {
  # What apt and dpkg cannot do without; nothing when root is not to be used.
  # README.md tells what fails without each.
  root_capabilities = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
}

resource "docker_container" "sandbox" {
  name  = var.bothy.name
  image = var.bothy.image

  # Idle, and not owned by dev: a build that kills all of its user's processes does not end
  # the environment. With no-new-privileges an exec can have no more capabilities than this
  # process, so it is root where root may be used, else nobody.
  command = ["sleep", "infinity"]
  user    = var.bothy.root ? "0:0" : "65534:65534"
  init    = true

  must_run = true
  restart  = "no"
  # Nothing here is worth saving at the end: no grace, so destroy is quick.
  stop_signal = "SIGKILL"

  network_mode  = var.bothy.network
  ipc_mode      = "private"
  cgroupns_mode = "private"

  # var.bothy.pids has no place here: this provider cannot set it. See README.md.
  # A quota of each 100 ms, not "cpus": the engine refuses that above the cores it has, and a
  # size must work everywhere.
  cpu_period  = 100000
  cpu_quota   = floor(var.bothy.cpus * 100000)
  memory      = var.bothy.memory_mib
  memory_swap = var.bothy.memory_mib # the same: no swap on top
  shm_size    = var.shm_mib

  dynamic "ulimit" {
    for_each = var.bothy.ulimits
    content {
      name = ulimit.value.name
      soft = ulimit.value.soft
      hard = ulimit.value.hard
    }
  }

  security_opts = var.bothy.security_opts
  capabilities {
    drop = ["ALL"]
    add  = var.bothy.root ? local.root_capabilities : []
  }

  # Secrets: only ever in memory, only for dev.
  tmpfs = {
    "/run/bothy" = "rw,nosuid,nodev,noexec,size=1m,mode=0700,uid=1000,gid=1000"
  }

  log_driver = "json-file"
  log_opts = {
    max-size = "10m"
    max-file = "3"
  }

  dynamic "labels" {
    for_each = var.bothy.labels
    content {
      label = labels.key
      value = labels.value
    }
  }
}
