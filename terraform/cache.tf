# Memorystore for Redis, optional: losing it loses nothing. 1 GB without a replica is about 36 USD a month, the
# connector (network.tf) comes to that.
resource "google_redis_instance" "cache" {
  #checkov:skip=CKV_GCP_95:only this network reaches the address, and nothing is in the network but the site's connector
  #checkov:skip=CKV_GCP_97:as above; sessions and snapshots travel within Google's network
  count = var.cache ? 1 : 0

  project            = data.google_project.this.project_id
  name               = "cache"
  region             = var.region
  tier               = "BASIC"
  memory_size_gb     = var.cache_size_gb
  redis_version      = "REDIS_7_2"
  connect_mode       = "PRIVATE_SERVICE_ACCESS"
  authorized_network = google_compute_network.main[0].id

  # What was not used for longest goes first; without it a full cache refuses writes.
  redis_configs = { maxmemory-policy = "allkeys-lru" }

  maintenance_policy {
    weekly_maintenance_window {
      day = "SUNDAY"
      start_time {
        hours = 3 # UTC
      }
    }
  }

  depends_on = [google_service_networking_connection.google]
}
