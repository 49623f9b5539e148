resource "docker_container" "sandbox" {
  name          = var.bothy.name
  image         = var.bothy.image
  command       = ["sh", "-c", "echo the licence server is not there >&2; exit 3"]
  network_mode  = var.bothy.network
  ipc_mode      = "private"
  cgroupns_mode = "private"
  cpu_period    = 100000
  cpu_quota     = floor(var.bothy.cpus * 100000)
  memory        = var.bothy.memory_mib
  memory_swap   = var.bothy.memory_mib
  init          = true
  restart       = "no"
  security_opts = var.bothy.security_opts
  log_driver    = "json-file"
  log_opts      = { max-size = "1m", max-file = "1" }

  capabilities {
    drop = ["ALL"]
  }

  tmpfs = {
    "/run/bothy" = "rw,nosuid,nodev,noexec,size=1m,mode=0700,uid=1000,gid=1000"
  }

  dynamic "ulimit" {
    for_each = var.bothy.ulimits
    content {
      name = ulimit.value.name
      soft = ulimit.value.soft
      hard = ulimit.value.hard
    }
  }

  dynamic "labels" {
    for_each = var.bothy.labels
    content {
      label = labels.key
      value = labels.value
    }
  }
}
