// SPDX-License-Identifier: GPL-3.0-or-later
// parse_lvm_group: first the text as sections and values, then what they mean. Source: lvm2, lib/config/config.c and
// lib/format_text/import_vsn1.c.
#include "crypto/volume/lvm_text.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

namespace cairn {

namespace {

constexpr std::size_t kMostLvmValues = 64 * 1024;  // a group of 100 volumes has some 2000
constexpr std::size_t kDeepestLvmSection = 16;
constexpr std::size_t kMostStripes = 128;  // as lvm2 has it
constexpr std::uint64_t kLvmSector = 512;
// Extents and their size are bounded so that a product of both is below 2^62: nothing overflows.
constexpr std::uint64_t kMostLvmExtents = std::uint64_t{1} << 29;
constexpr std::uint64_t kLargestLvmExtent = std::uint64_t{1} << 24;  // sectors: 8 GiB
constexpr std::uint64_t kFarthestLvmStart = std::uint64_t{1} << 40;  // sectors

struct LvmSection;

struct LvmEntry {
  std::string name;
  std::unique_ptr<LvmSection> section;  // or values
  std::vector<std::string> values;      // numbers as their digits
};
struct LvmSection {
  std::vector<LvmEntry> entries;

  [[nodiscard]] const LvmEntry* find(std::string_view name) const {
    const auto found = std::ranges::find(entries, name, &LvmEntry::name);
    return found == entries.end() ? nullptr : &*found;
  }
  [[nodiscard]] const LvmSection* section(std::string_view name) const {
    const LvmEntry* entry = find(name);
    return entry != nullptr ? entry->section.get() : nullptr;
  }
  [[nodiscard]] std::string text(std::string_view name) const {
    const LvmEntry* entry = find(name);
    return entry != nullptr && entry->values.size() == 1 ? entry->values.front() : std::string();
  }
  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view name) const;
};

std::optional<std::uint64_t> as_lvm_number(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc{} || rest != end || text.empty()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> LvmSection::number(std::string_view name) const {
  return as_lvm_number(text(name));
}

// name { ... } and name = value, value a number, a "text" or a [list]; # to the end of the line is a remark.
class LvmReader {
 public:
  explicit LvmReader(std::string_view text) : text_(text) {}

  std::optional<LvmSection> all() {
    auto section = entries(0);
    if (!section || at_ != text_.size()) return std::nullopt;
    return section;
  }

 private:
  static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c == '+';
  }
  void skip() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#')
        at_ = std::min(text_.find('\n', at_), text_.size());
      else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0')
        ++at_;
      else
        return;
    }
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string word() {
    skip();
    const std::size_t from = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    return std::string(text_.substr(from, at_ - from));
  }

  std::optional<LvmSection> entries(std::size_t depth) {
    LvmSection section;
    while (true) {
      skip();
      if (at_ == text_.size() || text_[at_] == '}') return section;
      LvmEntry entry;
      entry.name = word();
      if (entry.name.empty() || ++count_ > kMostLvmValues) return std::nullopt;
      if (take('{')) {
        if (depth >= kDeepestLvmSection) return std::nullopt;
        auto inner = entries(depth + 1);
        if (!inner || !take('}')) return std::nullopt;
        entry.section = std::make_unique<LvmSection>(*std::move(inner));
      } else if (!take('=') || !values(entry.values)) {
        return std::nullopt;
      }
      section.entries.push_back(std::move(entry));
    }
  }

  bool values(std::vector<std::string>& to) {
    if (!take('[')) return value(to);
    if (take(']')) return true;
    while (value(to)) {
      if (take(']')) return true;
      if (!take(',')) return false;
    }
    return false;
  }

  bool value(std::vector<std::string>& to) {
    if (++count_ > kMostLvmValues) return false;
    if (!take('"')) {
      to.push_back(word());
      return !to.back().empty();
    }
    std::string text;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      text.push_back(text_[at_++]);
    }
    to.push_back(std::move(text));
    return at_ < text_.size() && text_[at_++] == '"';
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t count_ = 0;
};

// Names that lvm2 itself would take; they become part of file names and messages.
bool is_lvm_name(std::string_view name) {
  constexpr std::size_t kLongest = 127;
  return !name.empty() && name.size() <= kLongest && name != "." && name != ".." && name.front() != '-' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                  c == '.' || c == '+';
         });
}

std::string without_dashes(std::string id) {
  std::erase(id, '-');
  return id;
}

std::optional<LvmPhysicalVolume> physical_from(const LvmEntry& entry) {
  if (entry.section == nullptr) return std::nullopt;
  const auto start = entry.section->number("pe_start");
  const auto count = entry.section->number("pe_count");
  if (!start || !count || *start > kFarthestLvmStart || *count > kMostLvmExtents) return std::nullopt;
  return LvmPhysicalVolume{entry.name, without_dashes(entry.section->text("id")), *start * kLvmSector, *count};
}

std::optional<LvmSegment> segment_from(const LvmSection& section) {
  LvmSegment segment;
  const auto start = section.number("start_extent");
  const auto extents = section.number("extent_count");
  const auto count = section.number("stripe_count");
  const LvmEntry* stripes = section.find("stripes");
  if (!start || !extents || !count || stripes == nullptr) return std::nullopt;
  if (*start > kMostLvmExtents || *extents == 0 || *extents > kMostLvmExtents) return std::nullopt;
  if (*count == 0 || *count > kMostStripes || stripes->values.size() != 2 * *count || *extents % *count != 0)
    return std::nullopt;
  segment.start = *start;
  segment.extents = *extents;
  if (*count > 1) {
    const auto sectors = section.number("stripe_size");
    if (!sectors || *sectors == 0 || *sectors > (std::uint64_t{1} << 31)) return std::nullopt;
    segment.stripe_bytes = *sectors * kLvmSector;
  }
  for (std::size_t i = 0; i < stripes->values.size(); i += 2) {
    const auto extent = as_lvm_number(stripes->values[i + 1]);
    if (!extent || *extent > kMostLvmExtents) return std::nullopt;
    segment.stripes.push_back({stripes->values[i], *extent});
  }
  return segment;
}

bool is_visible(const LvmSection& section) {
  const LvmEntry* status = section.find("status");
  return status != nullptr && std::ranges::find(status->values, "VISIBLE") != status->values.end();
}

LvmLogicalVolume logical_from(const LvmEntry& entry) {
  LvmLogicalVolume volume{entry.name, {}, {}};
  for (const LvmEntry& inner : entry.section->entries) {
    if (inner.section == nullptr || !inner.name.starts_with("segment")) continue;
    const std::string type = inner.section->text("type");
    if (type != "striped") {
      volume.why_not = "it is of type " + (is_lvm_name(type) ? type : "unknown") + ", which is not looked into";
      return volume;
    }
    auto segment = segment_from(*inner.section);
    if (!segment) {
      volume.why_not = "its description is damaged";
      return volume;
    }
    volume.segments.push_back(*std::move(segment));
  }
  std::ranges::sort(volume.segments, {}, &LvmSegment::start);
  if (volume.segments.empty()) volume.why_not = "it has no segments";
  return volume;
}

}  // namespace

std::expected<LvmGroup, std::string> parse_lvm_group(std::string_view text) {
  if (text.size() > kMaxLvmText) return std::unexpected("its metadata are larger than 4 MiB");
  const auto top = LvmReader(text).all();
  if (!top) return std::unexpected("its metadata are not what LVM writes, or have more than 65536 values");
  const auto named = std::ranges::find_if(top->entries, [](const LvmEntry& entry) { return entry.section != nullptr; });
  if (named == top->entries.end() || !is_lvm_name(named->name)) return std::unexpected("its metadata name no group");
  const LvmSection& section = *named->section;
  LvmGroup group{named->name, without_dashes(section.text("id")), section.number("seqno").value_or(0), 0, {}, {}};
  const auto extent = section.number("extent_size");
  if (!extent || *extent == 0 || *extent > kLargestLvmExtent) return std::unexpected("its extents have no size");
  group.extent_bytes = *extent * kLvmSector;
  if (const LvmSection* physical = section.section("physical_volumes"))
    for (const LvmEntry& entry : physical->entries) {
      auto volume = physical_from(entry);
      if (!volume) return std::unexpected("a physical volume of it is not described rightly");
      group.physical.push_back(*std::move(volume));
    }
  if (const LvmSection* logical = section.section("logical_volumes"))
    for (const LvmEntry& entry : logical->entries) {
      if (entry.section == nullptr || !is_lvm_name(entry.name)) return std::unexpected("a volume of it has no name");
      if (is_visible(*entry.section)) group.logical.push_back(logical_from(entry));
    }
  return group;
}

}  // namespace cairn
