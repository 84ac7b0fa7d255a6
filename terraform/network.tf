# A network is needed for private addresses only: the cache's, and the database's if it has one. Without them
# nothing here is made, and nothing is paid.
locals {
  in_network = var.cache || var.sql_private_address
}

resource "google_compute_network" "main" {
  #checkov:skip=CKV2_GCP_18:without a rule nothing comes in; the connector brings the rules that it needs
  count = local.in_network ? 1 : 0

  project                 = data.google_project.this.project_id
  name                    = "main"
  auto_create_subnetworks = false

  depends_on = [google_project_service.enabled]
}

resource "google_compute_subnetwork" "connector" {
  #checkov:skip=CKV_GCP_26:holds the connector's machines only; what they carry is in the log of the site
  #checkov:skip=CKV_GCP_76:IPv4 only, there is no IPv6 access to restrict
  count = local.in_network ? 1 : 0

  project                  = data.google_project.this.project_id
  name                     = "connector"
  region                   = var.region
  network                  = google_compute_network.main[0].id
  ip_cidr_range            = "10.8.0.0/28" # a connector takes exactly 16 addresses
  private_ip_google_access = true
}

# Two e2-micro machines, always: about 14 USD a month.
resource "google_vpc_access_connector" "main" {
  count = local.in_network ? 1 : 0

  project       = data.google_project.this.project_id
  name          = "main"
  region        = var.region
  machine_type  = "e2-micro"
  min_instances = 2
  max_instances = 3

  subnet {
    name = google_compute_subnetwork.connector[0].name
  }

  depends_on = [google_project_service.enabled]
}

# Where Google puts the machines behind private addresses: a network of its own, peered with ours.
resource "google_compute_global_address" "google" {
  count = local.in_network ? 1 : 0

  project       = data.google_project.this.project_id
  name          = "google-services"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  address       = "10.9.0.0"
  prefix_length = 16
  network       = google_compute_network.main[0].id
}

resource "google_service_networking_connection" "google" {
  count = local.in_network ? 1 : 0

  network                 = google_compute_network.main[0].id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.google[0].name]
  deletion_policy         = "ABANDON" # Google holds it for days after the last instance

  depends_on = [google_project_service.enabled]
}
