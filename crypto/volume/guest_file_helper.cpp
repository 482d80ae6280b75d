// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/guest_file_helper.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "config/base/units.h"
#include "crypto/helper_end.h"

namespace cairn {
namespace guest_file {

bool is_inside(const Question& question, std::uint64_t offset, std::uint64_t size) {
  return offset <= question.partition_size && size <= question.partition_size - offset;
}

void ask(std::uint64_t offset, MutableBytes to) {
  while (!to.empty()) {
    const auto piece = to.first(std::min<std::size_t>(to.size(), kMostAsked));
    Buffer question{kAskBytes};
    append_le(question, offset);
    append_le(question, static_cast<std::uint32_t>(piece.size()));
    helper_send(question);
    helper_receive(piece);
    offset += piece.size();
    to = to.subspan(piece.size());
  }
}

void say(FileOutcome outcome, std::string words, ByteView file) {
  if (words.size() > kMostWords) words.resize(kMostWords);
  Buffer answer{kSaysOutcome, static_cast<std::uint8_t>(outcome)};
  append_le(answer, static_cast<std::uint32_t>(words.size()));
  append(answer, as_bytes(words));
  append_le(answer, std::uint64_t{file.size()});
  helper_send(answer);
  helper_send(file);
  end_helper(0);
}

std::string_view next_name(std::string_view& path) {
  path.remove_prefix(1);
  const std::string_view name = path.substr(0, path.find('/'));
  path.remove_prefix(name.size());
  return name;
}

void say_link_in_the_way(std::string_view folder) {
  say(FileOutcome::not_a_file,
      fmt::format("is reached by a link ({}), and links are not followed: name the file itself", folder));
}

void say_link() {
  say(FileOutcome::not_a_file, "is a link, and links are not followed: name the file itself");
}

}  // namespace guest_file

void answer_read_file() {
  constexpr unsigned kProcessorSeconds = 10;
  constexpr std::uint64_t kMemory = 640 * kMiB;  // of address space: the file, and what the program itself takes
  std::array<std::uint8_t, 20> head{};
  helper_receive(head);
  guest_file::Question question{get_le<std::uint64_t>(head), get_le<std::uint64_t>(ByteView(head).subspan(8)), {}};
  const auto path_size = get_le<std::uint32_t>(ByteView(head).subspan(16));
  if (path_size > 4096) end_helper(1);
  question.path.resize(path_size);
  helper_receive({reinterpret_cast<std::uint8_t*>(question.path.data()), question.path.size()});
  limit_processor(kProcessorSeconds);
  close_helper(kMemory);
  guest_file::read_from_xfs(question);
  guest_file::read_from_ext(question);
  guest_file::say(FileOutcome::other_file_system, "");
}

}  // namespace cairn
