// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/guest_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "config/base/units.h"
#include "crypto/helper_process.h"
#include "crypto/volume/contents.h"
#include "crypto/volume/detached_header.h"
#include "crypto/volume/guest_file_talk.h"
#include "crypto/volume/partitions.h"
#include "crypto/volume/probe_budget.h"

namespace cairn {
namespace {

constexpr std::uint64_t kMostBeside = 256 * kMiB;  // what may be read of the partition beside the file itself
constexpr std::chrono::seconds kAtMost{60};
constexpr const char* kReadingIt = "read the LUKS header of";

Result<ByteRange> find_partition(ByteSource& disk, const HeaderInside& place, const std::string& object) {
  std::vector<std::string> remarks;
  BudgetedSource bounded(disk, {});
  CAIRN_TRY(const PartitionTable table, read_partitions(bounded, object, remarks));
  const auto found = std::ranges::find(table.partitions, place.partition, &Partition::number);
  if (found != table.partitions.end()) return found->place;
  std::string numbers;
  for (const Partition& partition : table.partitions)
    numbers += fmt::format("{}{}", numbers.empty() ? "" : ", ", partition.number);
  std::string because = fmt::format("the settings say {}, and ", place.text());
  if (table.refused)
    because += "its partition table asks for more work than is allowed";
  else if (table.partitions.empty())
    because += table.type.empty() ? "no partition table was recognised on it" : "its table has no partitions";
  else
    because += fmt::format("it has the partitions {}", numbers);
  return fail(ErrorCode::header_partition_missing, kReadingIt, object, std::move(because));
}

// What libblkid sees there, so that who named the wrong partition sees it too.
std::string seen_on(ByteSource& disk, const HeaderInside& place, const ByteRange& partition,
                    const std::string& object) {
  BudgetedSource bounded(disk, {});
  const auto contents = recognise_contents({bounded, place.partition, partition, object});
  if (!contents || contents->kind == Contents::Kind::nothing) return "nothing that is recognised";
  return contents->type;
}

class FileTalk {
 public:
  FileTalk(ByteSource& disk, const HeaderInside& place, const ByteRange& partition, const std::string& object,
           HelperProcess& helper)
      : disk_(disk), place_(place), partition_(partition), object_(object), helper_(helper) {}

  Result<Buffer> run() {
    Buffer question;
    append_le(question, partition_.size);
    append_le(question, kMaxHeaderFile);
    append_le(question, static_cast<std::uint32_t>(place_.path.size()));
    append(question, as_bytes(place_.path));
    CAIRN_CHECK(helper_.send(question));
    while (true) {
      std::array<std::uint8_t, 1> said{};
      CAIRN_CHECK(helper_.receive(said));
      if (said[0] == kSaysOutcome) return take_outcome();
      if (said[0] != kAskBytes) return senseless();
      CAIRN_CHECK(give_bytes());
    }
  }

 private:
  std::unexpected<Error> senseless() {
    return fail(ErrorCode::header_file_system, kReadingIt, object_, "its reader asked for what makes no sense");
  }

  Result<void> give_bytes() {
    std::array<std::uint8_t, 12> head{};
    CAIRN_CHECK(helper_.receive(head));
    const auto offset = get_le<std::uint64_t>(head);
    const auto size = get_le<std::uint32_t>(ByteView(head).subspan(8));
    if (size > kMostAsked || offset > partition_.size || size > partition_.size - offset) return senseless();
    given_ += size;
    if (given_ > kMaxHeaderFile + kMostBeside)
      return fail(ErrorCode::header_file_system, kReadingIt, object_,
                  fmt::format("the file system on partition {} asks for more than {} to be read", place_.partition,
                              format_size(kMaxHeaderFile + kMostBeside)));
    bytes_.resize(size);
    CAIRN_CHECK(disk_.read(partition_.offset + offset, bytes_));
    return helper_.send(bytes_);
  }

  Result<Buffer> take_outcome() {
    std::array<std::uint8_t, 5> head{};
    CAIRN_CHECK(helper_.receive(head));
    const auto outcome = static_cast<FileOutcome>(head[0]);
    const auto word_size = get_le<std::uint32_t>(ByteView(head).subspan(1));
    if (word_size > kMostWords) return senseless();
    Buffer words(word_size);
    CAIRN_CHECK(helper_.receive(words));
    std::array<std::uint8_t, 8> size{};
    CAIRN_CHECK(helper_.receive(size));
    const auto file_size = get_le<std::uint64_t>(size);
    if (file_size > kMaxHeaderFile) return senseless();
    Buffer file(static_cast<std::size_t>(file_size));
    CAIRN_CHECK(helper_.receive(file));
    if (outcome == FileOutcome::read) return file;
    return refusal(outcome, printable(as_text(words)));
  }

  std::unexpected<Error> refusal(FileOutcome outcome, const std::string& words) {
    const std::string where = fmt::format("{} on partition {}", place_.path, place_.partition);
    switch (outcome) {
      case FileOutcome::no_such_file:
        return fail(ErrorCode::header_file_missing, kReadingIt, object_, fmt::format("there is no {}{}", where, words));
      case FileOutcome::not_a_file:
        return fail(ErrorCode::header_file_missing, kReadingIt, object_, fmt::format("{} {}", where, words));
      case FileOutcome::too_large:
        return fail(
            ErrorCode::detached_header_unusable, kReadingIt, object_,
            fmt::format("{} has {} bytes, and no header has more than {}", where, words, format_size(kMaxHeaderFile)));
      case FileOutcome::other_file_system: {
        const std::string seen = seen_on(disk_, place_, partition_, object_);
        return fail(ErrorCode::header_file_system, kReadingIt, object_,
                    fmt::format("on partition {} lies {}, and files are read from ext2, ext3, ext4 and XFS",
                                place_.partition, seen));
      }
      default:
        return fail(ErrorCode::header_file_system, kReadingIt, object_,
                    fmt::format("the file system on partition {}: {}", place_.partition, words));
    }
  }

  ByteSource& disk_;
  const HeaderInside& place_;
  const ByteRange& partition_;
  const std::string& object_;
  HelperProcess& helper_;
  Buffer bytes_;
  std::uint64_t given_ = 0;
};

}  // namespace

Result<Buffer> read_guest_file(ByteSource& disk, const HeaderInside& place, const std::string& object) {
  if (!helpers_can_run()) return fail(ErrorCode::helper_failed, kReadingIt, object, "this program has no helpers");
  CAIRN_TRY(const ByteRange partition, find_partition(disk, place, object));
  CAIRN_TRY(HelperProcess helper, HelperProcess::start({kReadFileWork, kReadingIt, object, -1, kAtMost}));
  auto file = FileTalk(disk, place, partition, object, helper).run();
  if (!file && file.error().code == ErrorCode::helper_failed)
    // It was given nothing but the guest's bytes, and what it did with them ended it.
    return fail(ErrorCode::header_file_system, kReadingIt, object,
                fmt::format("the file system on partition {} could not be read within its limits: {}", place.partition,
                            file.error().because));
  return file;
}

}  // namespace cairn
