resource "docker_container" "sandbox" {
  name         = var.bothy.name
  image        = var.bothy.image
  command      = ["sleep", "infinity"]
  stop_signal  = "SIGKILL"
  network_mode = var.bothy.network
  memory       = var.bothy.memory_mib
  restart      = "no"

  dynamic "labels" {
    for_each = var.bothy.labels
    content {
      label = labels.key
      value = labels.value
    }
  }

  lifecycle {
    postcondition {
      condition     = self.id == ""
      error_message = "The licence for this sandbox has run out."
    }
  }
}
