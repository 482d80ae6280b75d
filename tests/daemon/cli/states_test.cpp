// SPDX-License-Identifier: GPL-3.0-or-later
// daemon/STATES.md against the program: each table has the words that the program has for it, no more and no less;
// every row says when, where and what to do; every command and every error that is named there is there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "crypto/volume/volume_facts.h"
#include "daemon/cli/commands/registry.h"
#include "daemon/keys/machine_keys.h"
#include "daemon/queue/job_record.h"
#include "daemon/restore/restored_keys.h"
#include "daemon/source/disk_format.h"
#include "fs/guest/guest.h"
#include "fs/store/pack/pack_check.h"
#include "fs/store/point/key_records.h"
#include "fs/store/point/point_labels.h"

namespace cairn::cli {
namespace {

struct Row {
  std::string state;
  std::vector<std::string> cells;  // given when, shown in, what to do
};

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? std::string() : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

// Rows by the title of their section.
std::map<std::string, std::vector<Row>> read_tables() {
  std::ifstream file(std::string(CAIRN_SOURCE_ROOT) + "/daemon/STATES.md");
  std::map<std::string, std::vector<Row>> tables;
  std::string title;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) title = line.substr(3);
    if (!line.starts_with("| `")) continue;
    std::vector<std::string> cells;
    for (std::size_t at = 1; at < line.size();) {
      const std::size_t end = std::min(line.find('|', at), line.size());
      cells.push_back(trimmed(line.substr(at, end - at)));
      at = end + 1;
    }
    Row row{cells.front().substr(1, cells.front().size() - 2), {}};
    row.cells.assign(cells.begin() + 1, cells.end());
    tables[title].push_back(row);
  }
  return tables;
}

// All words of an enumeration.
template <class Value>
std::set<std::string> words_of(const std::vector<Value>& values) {
  std::set<std::string> words;
  for (const Value value : values) words.insert(std::string(to_string(value)));
  return words;
}

// A new value is a warning of the compiler here, which is an error: then it goes into the list below, and into
// STATES.md.
[[maybe_unused]] void remember_new_ones(DiskEncryption encryption, Consistency consistency, ProofState proof,
                                        KeyAtHand key, KeyFinding::Kind finding, PackState pack, JobState job,
                                        GuestState guest, FormatFrom format) {
  switch (guest) {
    case GuestState::running:
    case GuestState::paused:
    case GuestState::off:
    case GuestState::crashed:
      break;
  }
  switch (format) {
    case FormatFrom::settings:
    case FormatFrom::definition:
    case FormatFrom::found:
    case FormatFrom::device:
    case FormatFrom::server:
      break;
  }
  switch (encryption) {
    case DiskEncryption::encrypted:
    case DiskEncryption::not_encrypted:
    case DiskEncryption::unknown:
      break;
  }
  switch (consistency) {
    case Consistency::crash:
    case Consistency::filesystem:
    case Consistency::application:
    case Consistency::torn:
    case Consistency::unknown:
      break;
  }
  switch (proof) {
    case ProofState::unproved:
    case ProofState::proved:
    case ProofState::not_encrypted:
    case ProofState::unknown:
      break;
  }
  switch (key) {
    case KeyAtHand::ready:
    case KeyAtHand::no_secret:
    case KeyAtHand::missing:
    case KeyAtHand::unknown:
    case KeyAtHand::none:
      break;
  }
  switch (finding) {
    case KeyFinding::Kind::good:
    case KeyFinding::Kind::warning:
    case KeyFinding::Kind::error:
      break;
  }
  switch (pack) {
    case PackState::whole:
    case PackState::damaged:
    case PackState::missing:
    case PackState::unreadable:
      break;
  }
  switch (job) {
    case JobState::queued:
    case JobState::in_progress:
    case JobState::completed:
    case JobState::completed_with_warnings:
    case JobState::failed:
    case JobState::cancelled:
      break;
  }
}

const std::map<std::string, std::set<std::string>>& words_of_the_program() {
  static const std::map<std::string, std::set<std::string>> kWords = {
      {"Encryption of a disk",
       words_of<DiskEncryption>({DiskEncryption::encrypted, DiskEncryption::not_encrypted, DiskEncryption::unknown})},
      {"Consistency of a disk, and of a point (the worst of its disks)",
       words_of<Consistency>({Consistency::crash, Consistency::filesystem, Consistency::application, Consistency::torn,
                              Consistency::unknown})},
      {"Guest of a machine",
       words_of<GuestState>({GuestState::running, GuestState::paused, GuestState::off, GuestState::crashed})},
      {"Who said what format a disk's image has",
       words_of<FormatFrom>(
           {FormatFrom::settings, FormatFrom::definition, FormatFrom::found, FormatFrom::device, FormatFrom::server})},
      {"Proof of a point", words_of<ProofState>({ProofState::unproved, ProofState::proved, ProofState::not_encrypted,
                                                 ProofState::unknown})},
      {"Keys of a disk that was restored",
       words_of<KeyAtHand>(
           {KeyAtHand::ready, KeyAtHand::no_secret, KeyAtHand::missing, KeyAtHand::unknown, KeyAtHand::none})},
      {"Findings about a machine's keys",
       words_of<KeyFinding::Kind>({KeyFinding::Kind::good, KeyFinding::Kind::warning, KeyFinding::Kind::error})},
      {"Pack of a store",
       words_of<PackState>({PackState::whole, PackState::damaged, PackState::missing, PackState::unreadable})},
      {"Job", words_of<JobState>({JobState::queued, JobState::in_progress, JobState::completed,
                                  JobState::completed_with_warnings, JobState::failed, JobState::cancelled})}};
  return kWords;
}

TEST(States, EachTableHasTheWordsOfTheProgram) {
  const auto tables = read_tables();
  ASSERT_GE(tables.size(), 12U);
  for (const auto& [title, words] : words_of_the_program()) {
    const auto table = tables.find(title);
    ASSERT_NE(table, tables.end()) << title;
    std::set<std::string> written;
    for (const Row& row : table->second) EXPECT_TRUE(written.insert(row.state).second) << row.state << " twice";
    EXPECT_EQ(written, words) << title;
  }
}

TEST(States, EachRowSaysWhenWhereAndWhatToDo) {
  for (const auto& [title, rows] : read_tables())
    for (const Row& row : rows) {
      ASSERT_EQ(row.cells.size(), 3U) << title << ": " << row.state;
      for (const std::string& cell : row.cells) EXPECT_FALSE(cell.empty()) << title << ": " << row.state;
    }
}

TEST(States, CommandsAndErrorsThatAreNamedAreThere) {
  std::set<std::string> errors;
  for (const CatalogueEntry& entry : error_catalogue()) errors.insert(std::string(entry.name));
  const std::regex command("`cairn ([^`]*)`");
  const std::regex error("\\[([a-z-]+)\\]");
  std::size_t commands = 0;
  for (const auto& [title, rows] : read_tables()) {
    for (const Row& row : rows) {
      for (const std::string& cell : row.cells) {
        for (std::sregex_iterator at(cell.begin(), cell.end(), command), end; at != end; ++at) {
          std::string words = (*at)[1];
          // Its words end where arguments begin.
          if (const std::size_t argument = words.find_first_of("-ABCDEFGHIJKLMNOPQRSTUVWXYZ");
              argument != std::string::npos)
            words = argument == 0 || words[argument - 1] == ' ' ? trimmed(words.substr(0, argument)) : words;
          const CommandSpec* const found = find_command(all_commands(), words);
          EXPECT_NE(found, nullptr) << title << ", " << row.state << ": cairn " << words;
          ++commands;
        }
        for (std::sregex_iterator at(cell.begin(), cell.end(), error), end; at != end; ++at)
          EXPECT_TRUE(errors.contains((*at)[1])) << title << ", " << row.state << ": " << (*at)[1];
      }
    }
  }
  EXPECT_GT(commands, 40U);
}

}  // namespace
}  // namespace cairn::cli
