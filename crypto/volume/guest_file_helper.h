// SPDX-License-Identifier: GPL-3.0-or-later
// What the readers of file systems share within the helper (guest_file_talk.h): the bytes of the partition, and the one
// answer that ends the process. For ext_file.cpp, xfs_file.cpp and guest_file_helper.cpp only. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "config/base/bytes.h"
#include "crypto/volume/guest_file_talk.h"

namespace cairn::guest_file {

struct Question {
  std::uint64_t partition_size = 0;
  std::uint64_t most = 0;  // bytes that the file may have
  std::string path;        // begins with a slash; no empty name, "." or ".." in it
};

// Whether that lies inside the partition.
bool is_inside(const Question& question, std::uint64_t offset, std::uint64_t size);
// Bytes of the partition, which lie inside it.
void ask(std::uint64_t offset, MutableBytes to);

// Ends the process. The words of `no_such_file` and `not_a_file` follow the path.
[[noreturn]] void say(FileOutcome outcome, std::string words, ByteView file = {});

// Takes the next name off `path`, which begins with the slash before it.
std::string_view next_name(std::string_view& path);
// The same words for every file system.
[[noreturn]] void say_link_in_the_way(std::string_view folder);
[[noreturn]] void say_link();

// Each returns when that is not its file system; else it says the outcome.
void read_from_ext(const Question& question);
void read_from_xfs(const Question& question);

}  // namespace cairn::guest_file
