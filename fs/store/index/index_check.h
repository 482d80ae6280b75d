// SPDX-License-Identifier: GPL-3.0-or-later
// Whether LMDB can be trusted with an index file. LMDB maps its file and follows what is written there: a page number
// or an offset that went bad leads it anywhere (what is done about that while a file is open: map_guard.h). This reads
// the file as bytes and follows nothing that it has not looked at. Format: LMDB 0.9's mdb.c (data version 1, 64-bit,
// little-endian), and of it what an index uses: no duplicates, no fixed mapping. Values are not looked at: whoever
// reads them checks them.
#pragma once

#include <cstdint>
#include <string>

#include "config/base/result.h"

namespace cairn {

// An index file up to this size is checked whenever it is opened. Measured for 70 MiB (792,000 chunks, in memory, one
// core of two, median of 15): 41 ms; 71 ms while others had most of the machine.
inline constexpr std::uint64_t kMaxCheckedIndexBytes = std::uint64_t{64} << 20U;

// Both meta pages, which are all that opening the file and beginning a transaction touch. `file`: a descriptor of
// data.mdb; `path`: for messages. Errors: index_damaged, io_error.
Result<void> check_index_header(int file, const std::string& path);

// Every page that transaction `snapshot` can reach, and the list of free pages. Whoever calls holds a read transaction
// of that number, so that no writer takes the pages meanwhile. Memory: one bit a page, and a page for each level.
// Errors: index_damaged (says where), io_error.
Result<void> check_index_pages(int file, const std::string& path, std::uint64_t snapshot);

}  // namespace cairn
