resource "docker_container" "sandbox" {
  name         = var.bothy.name
  image        = var.bothy.image
  command      = ["sh", "-c", "echo the licence server is not there >&2; exit 3"]
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
}
