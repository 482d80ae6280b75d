// SPDX-License-Identifier: GPL-3.0-or-later
// Fuzz targets of the store's index, its sealed documents and the control API.
#pragma once

#include "config/base/bytes.h"

namespace cairn {

// A whole index file: when it passes the check that comes before LMDB sees it, LMDB must be able to read all of it.
void fuzz_index_file(ByteView input);
// The list of runs, and entries.
void fuzz_index_runs(ByteView input);
void fuzz_sealed_document(ByteView input);
// Bodies and query parameters of the control API.
void fuzz_api_request(ByteView input);

}  // namespace cairn
