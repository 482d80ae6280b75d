// SPDX-License-Identifier: GPL-3.0-or-later
// The parts of the error catalogue, one a file of that name: error_catalogue_AREA.cpp. For error_catalogue.cpp only;
// everybody else asks error.h. A new code gets an entry in the part of its area. Any thread.
#pragma once

#include "config/base/error.h"

namespace cairn {

std::span<const CatalogueEntry> system_errors();       // the call itself and the settings
std::span<const CatalogueEntry> environment_errors();  // limits of the process and what the system lacks
std::span<const CatalogueEntry> store_errors();        // the store and what is in it
std::span<const CatalogueEntry> mount_errors();        // disk images, mounting and restoring
std::span<const CatalogueEntry> image_errors();        // formats of disk images and NBD servers
std::span<const CatalogueEntry> daemon_errors();       // the daemon, its jobs and change tracking
std::span<const CatalogueEntry> vault_errors();        // key vaults and what is in them
std::span<const CatalogueEntry> disk_keys_errors();    // the keys of encrypted disks
std::span<const CatalogueEntry>
points_errors();                                 // recovery points over time; verifying, repairing and reclaiming space
std::span<const CatalogueEntry> guest_errors();  // virtual machines that run
std::span<const CatalogueEntry> label_errors();  // what a recovery point says of its making

}  // namespace cairn
