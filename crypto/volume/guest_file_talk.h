// SPDX-License-Identifier: GPL-3.0-or-later
// What guest_file.cpp and its helper say to each other. Little-endian. For these two only. Any thread.
//
// The question: size of the partition (8), most bytes that the file may have (8), size of the path (4), the path.
// The helper then asks any number of times for bytes: kAskBytes (1), offset in the partition (8), size (4, at most
// kMostAsked), and gets just these. At last it says kSaysOutcome (1), FileOutcome (1), size of its words (4, at most
// kMostWords), the words, size of the file (8), the file.
#pragma once

#include <cstdint>

namespace cairn {

inline constexpr const char* kReadFileWork = "read-file";
inline constexpr std::uint8_t kAskBytes = 1;
inline constexpr std::uint8_t kSaysOutcome = 2;
inline constexpr std::uint32_t kMostAsked = 1024 * 1024;
inline constexpr std::uint32_t kMostWords = 1024;

enum class FileOutcome : std::uint8_t { read, no_such_file, not_a_file, too_large, other_file_system, damaged };

// The helper's work.
void answer_read_file();

}  // namespace cairn
