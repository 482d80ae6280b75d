// SPDX-License-Identifier: GPL-3.0-or-later
// LUKS1 and LUKS2 volumes: the binary headers are read here to know which areas to copy; what they mean is
// libcryptsetup's to say, on the copy. Bytes: crypto/volume/VOLUMES.md.
#include <fmt/format.h>
#include <libcryptsetup.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "config/base/big_endian.h"
#include "config/base/json.h"
#include "config/base/ranges.h"
#include "config/base/units.h"
#include "crypto/volume/contents.h"
#include "crypto/volume/crypt_device.h"
#include "crypto/volume/luks_json.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

namespace {

constexpr std::string_view kPrimaryMagic("LUKS\xba\xbe", 6);
constexpr std::string_view kSecondaryMagic("SKUL\xba\xbe", 6);
constexpr std::size_t kFirstLook = 4096;
constexpr std::size_t kBinaryHeader = 4096;
// The sizes one LUKS2 header copy may have; the secondary lies at just that offset.
constexpr std::array<std::uint64_t, 9> kHeaderSizes = {0x4000,  0x8000,   0x10000,  0x20000, 0x40000,
                                                       0x80000, 0x100000, 0x200000, 0x400000};
// What cryptsetup reserves for header and keyslots by default: the guess for a header that cannot be read.
constexpr std::uint64_t kUsualHeaderArea = 16 * kMiB;
// No honest LUKS1 header ends beyond this: eight keys of 512 bits take 2 MiB.
constexpr std::uint64_t kLargestLuks1Header = 128 * kMiB;
// LUKS2 allows 4 MiB twice and 128 MiB of keyslots.
constexpr std::uint64_t kLargestLuks2Header = 2 * 4 * kMiB + 128 * kMiB;

std::string text_field(ByteView bytes, std::size_t at, std::size_t size) {
  return printable(as_text(bytes.subspan(at, size)));
}

bool starts_with(ByteView bytes, std::string_view magic) {
  return as_text(bytes).starts_with(magic);
}

bool is_header_size(std::uint64_t size) {
  return std::find(kHeaderSizes.begin(), kHeaderSizes.end(), size) != kHeaderSizes.end();
}

// One of the two copies of a LUKS2 header, judged by its own checksum (which covers it whole, its own field as zeros).
struct Luks2Copy {
  enum class State { absent, damaged, cut_off, intact, unchecked };  // unchecked: another checksum than SHA-256
  State state = State::absent;
  std::uint64_t size = 0;  // as it says; 0 when that is no possible size
  std::uint64_t sequence = 0;
  std::string uuid;
  std::string label;
};

Luks2Copy judge(ByteView area, std::uint64_t offset) {
  constexpr std::size_t kChecksumAt = 448;
  Luks2Copy copy;
  if (area.size() < 512 || !starts_with(area, offset == 0 ? kPrimaryMagic : kSecondaryMagic)) return copy;
  copy.state = Luks2Copy::State::damaged;
  const auto size = get_be<std::uint64_t>(area, 8);
  copy.sequence = get_be<std::uint64_t>(area, 16);
  copy.label = text_field(area, 24, 48);
  copy.uuid = text_field(area, 168, 40);
  if (get_be<std::uint16_t>(area, 6) != 2 || !is_header_size(size)) return copy;
  copy.size = size;
  if (get_be<std::uint64_t>(area, 256) != offset) return copy;
  if (area.size() < size) {
    copy.state = Luks2Copy::State::cut_off;
    return copy;
  }
  if (text_field(area, 72, 32) != "sha256") {
    copy.state = Luks2Copy::State::unchecked;
    return copy;
  }
  Buffer zeroed(area.begin(), area.begin() + static_cast<std::ptrdiff_t>(size));
  std::fill_n(zeroed.begin() + kChecksumAt, 64, std::uint8_t{0});
  std::array<std::uint8_t, crypto_hash_sha256_BYTES> sum{};
  crypto_hash_sha256(sum.data(), zeroed.data(), zeroed.size());
  if (std::equal(sum.begin(), sum.end(), area.begin() + kChecksumAt)) copy.state = Luks2Copy::State::intact;
  return copy;
}

bool is_good(const Luks2Copy& copy) {
  return copy.state == Luks2Copy::State::intact || copy.state == Luks2Copy::State::unchecked;
}

const char* in_words(const Luks2Copy& copy) {
  switch (copy.state) {
    case Luks2Copy::State::absent:
      return "missing";
    case Luks2Copy::State::damaged:
      return "damaged";
    case Luks2Copy::State::cut_off:
      return "cut off by the end of the volume";
    case Luks2Copy::State::intact:
    case Luks2Copy::State::unchecked:
      break;
  }
  return "intact";
}

// What libcryptsetup knows after a successful load.
void take_facts(crypt_device* device, VolumeFacts& facts) {
  const auto text = [](const char* value) { return value != nullptr ? printable(value) : std::string(); };
  facts.uuid = text(crypt_get_uuid(device));
  if (facts.type == VolumeType::luks2) facts.label = text(crypt_get_label(device));
  const std::string cipher = text(crypt_get_cipher(device));
  const std::string mode = text(crypt_get_cipher_mode(device));
  facts.cipher = mode.empty() ? cipher : cipher + "-" + mode;
  if (const int bytes = crypt_get_volume_key_size(device); bytes > 0) facts.key_bits = static_cast<unsigned>(bytes) * 8;
  if (const int bytes = crypt_get_sector_size(device); bytes > 0) facts.sector_bytes = static_cast<unsigned>(bytes);
  facts.data_offset = crypt_get_data_offset(device) * 512;
  const int slots = crypt_keyslot_max(facts.type == VolumeType::luks1 ? CRYPT_LUKS1 : CRYPT_LUKS2);
  for (int slot = 0; slot < slots; ++slot) {
    const crypt_keyslot_info state = crypt_keyslot_status(device, slot);
    if (state != CRYPT_SLOT_ACTIVE && state != CRYPT_SLOT_ACTIVE_LAST && state != CRYPT_SLOT_UNBOUND) continue;
    crypt_pbkdf_type kdf{};
    const bool known = crypt_keyslot_get_pbkdf(device, slot, &kdf) == 0 && kdf.type != nullptr;
    facts.slots.push_back({slot, known ? printable(kdf.type) : "unknown"});
  }
}

void check_ends(const VolumeSource& source, std::uint64_t header_end, VolumeFacts& facts) {
  if (header_end > source.place.size) {
    facts.cut_off =
        fmt::format("the volume ends inside its header, which takes {} bytes of {}", header_end, source.place.size);
    add_damage(facts, facts.cut_off);
  } else if (source.is_header_file) {
    return;
  } else if (facts.data_offset >= source.place.size) {
    facts.cut_off = fmt::format("the volume ends before its data, which start at byte {} of {}", facts.data_offset,
                                source.place.size);
    add_damage(facts, facts.cut_off);
  } else if (facts.data_offset == 0) {
    add_damage(facts, "the header is a detached one; the encrypted data lie elsewhere");
  }
}

// phdr of LUKS1: payload-offset at 104, key-bytes at 108, eight keyslots of 48 bytes from 208 on (on-disk
// format 1.2.3).
std::uint64_t luks1_key_material_end(ByteView header) {
  const std::uint64_t key_bytes = get_be<std::uint32_t>(header, 108);
  std::uint64_t end = 1024;
  for (std::size_t slot = 0; slot < 8; ++slot) {
    const std::uint64_t offset = get_be<std::uint32_t>(header, 208 + slot * 48 + 40);
    const std::uint64_t stripes = get_be<std::uint32_t>(header, 208 + slot * 48 + 44);
    // Both factors are 32 bits wide: the product fits, the sum is cut off by the caller.
    const std::uint64_t bytes = key_bytes * stripes;
    if (bytes < kLargestLuks1Header) end = std::max(end, offset * 512 + bytes);
  }
  return (end + 4095) / 4096 * 4096;
}

Result<std::optional<VolumeFacts>> probe_luks1(const VolumeSource& source, Buffer first) {
  VolumeFacts facts = facts_of(source, VolumeType::luks1);
  if (first.size() < 592) {
    facts.header = tidy_ranges({{0, first.size()}}, source.place.size);
    facts.damage = fmt::format("the volume ends inside its header, which takes 592 bytes of {}", source.place.size);
    return facts;
  }
  std::uint64_t header_end = std::uint64_t{get_be<std::uint32_t>(first, 104)} * 512;
  if (header_end == 0 || header_end > kLargestLuks1Header)
    header_end = std::min(luks1_key_material_end(first), kUsualHeaderArea);
  facts.header = tidy_ranges({{0, header_end}}, source.place.size);
  facts.uuid = text_field(first, 168, 40);

  CAIRN_TRY(HeaderCopy copy, HeaderCopy::make(source.place.size, source.object));
  CAIRN_CHECK(copy.put(0, std::move(first)));
  CryptDevice device(copy.path());
  if (device.load(CRYPT_LUKS1) != 0) {
    if (header_end > source.place.size)
      facts.cut_off =
          fmt::format("the volume ends inside its header, which takes {} bytes of {}", header_end, source.place.size);
    facts.damage = "the header is damaged, and LUKS1 keeps no second one: " + device.why();
    return facts;
  }
  take_facts(device.get(), facts);
  check_ends(source, header_end, facts);
  return facts;
}

void note_reencryption(crypt_device* device, const VolumeSource& source, std::vector<std::string>& remarks) {
  std::uint32_t needs = 0;
  if (crypt_persistent_flags_get(device, CRYPT_FLAGS_REQUIREMENTS, &needs) != 0) return;
  if ((needs & (CRYPT_REQUIREMENT_OFFLINE_REENCRYPT | CRYPT_REQUIREMENT_ONLINE_REENCRYPT)) != 0)
    remarks.push_back("re-encryption of " + source.name() + " has been started and has not ended");
  if ((needs & CRYPT_REQUIREMENT_UNKNOWN) != 0)
    remarks.push_back(source.name() + " needs a newer version of cryptsetup to be opened");
}

// A segment of a stated length must end within the volume; most have none ("dynamic") and end where it does, but begin
// before. `text`: the header's JSON.
void check_segments(std::string_view text, const VolumeSource& source, VolumeFacts& facts) {
  if (!facts.cut_off.empty() || source.is_header_file) return;
  const auto document = parse_json(text);
  if (!document || !document->is_object() || !document->contains("segments")) return;
  const auto number = [](const nlohmann::json& segment, const char* member) -> std::optional<std::uint64_t> {
    const auto found = segment.find(member);
    if (found == segment.end() || !found->is_string()) return std::nullopt;
    const auto& digits = found->get_ref<const std::string&>();
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  for (const auto& segment : (*document)["segments"]) {
    if (!segment.is_object()) continue;
    const auto offset = number(segment, "offset");
    const auto size = number(segment, "size");
    if (offset && *offset >= source.place.size && *offset != 0) {
      facts.cut_off =
          fmt::format("the volume ends before its data, which start at byte {} of {}", *offset, source.place.size);
      return;
    }
    if (!offset || !size) continue;
    if (*offset <= source.place.size && *size <= source.place.size - *offset) continue;
    facts.cut_off =
        fmt::format("its data take {} bytes from byte {} on, and the volume has {}", *size, *offset, source.place.size);
    return;
  }
}

// The JSON text of a header copy: zeros follow it (LUKS2 On-Disk Format 2.1).
std::string_view json_of(ByteView copy) {
  constexpr std::size_t kBinaryPart = 4096;
  if (copy.size() <= kBinaryPart) return {};
  const std::string_view text = as_text(copy.subspan(kBinaryPart));
  return text.substr(0, text.find('\0'));
}

// `area`: the volume from its start, as far as either header copy may reach.
Result<std::optional<VolumeFacts>> probe_luks2(const VolumeSource& source, Buffer area, std::uint64_t second_at,
                                               std::vector<std::string>& remarks) {
  Luks2Copy primary = judge(area, 0);
  // A size that is not where the secondary was found is wrong, not cut off.
  if (primary.state == Luks2Copy::State::cut_off && primary.size <= source.place.size)
    primary.state = Luks2Copy::State::damaged;
  Luks2Copy secondary;
  secondary.state = Luks2Copy::State::cut_off;
  if (second_at < area.size())
    secondary = judge(ByteView(area).subspan(static_cast<std::size_t>(second_at)), second_at);
  VolumeFacts facts = facts_of(source, VolumeType::luks2);
  facts.uuid = primary.uuid.empty() ? secondary.uuid : primary.uuid;
  facts.label = primary.label.empty() ? secondary.label : primary.label;

  std::string excess = luks2_json_excess(ByteView(area).first(std::min<std::size_t>(area.size(), second_at)));
  if (excess.empty() && second_at < area.size())
    excess = luks2_json_excess(ByteView(area).subspan(static_cast<std::size_t>(second_at)));
  if (!excess.empty()) {
    facts.damage = std::move(excess);
    facts.header = tidy_ranges({{0, std::max(kUsualHeaderArea, 2 * second_at)}}, source.place.size);
    return facts;
  }
  const std::string json(json_of(ByteView(area).first(std::min<std::size_t>(area.size(), second_at))));
  CAIRN_TRY(HeaderCopy copy, HeaderCopy::make(source.place.size, source.object));
  CAIRN_CHECK(copy.put(0, std::move(area)));
  CryptDevice device(copy.path());
  if (device.load(CRYPT_LUKS2) != 0) {
    if (is_good(primary)) check_segments(json, source, facts);
    if (!is_good(primary) && !is_good(secondary)) {
      facts.damage = fmt::format("no sound header is left: the primary is {}, the secondary is {}", in_words(primary),
                                 in_words(secondary));
    } else {
      facts.damage = "libcryptsetup refuses the header: " + device.why();
    }
    facts.header = tidy_ranges({{0, std::max(kUsualHeaderArea, 2 * second_at)}}, source.place.size);
    return facts;
  }
  take_facts(device.get(), facts);
  note_reencryption(device.get(), source, remarks);

  // libcryptsetup writes over the copy that it thinks less of.
  const ByteOffset second(second_at);  // each copy is as large as what lies before the second
  const bool primary_kept = copy.unchanged(ByteOffset(0), bytes_before(second));
  const bool secondary_kept = copy.unchanged(second, bytes_before(second));
  if (!is_good(primary)) {
    add_damage(facts, fmt::format("the primary header is {}; the secondary is intact", in_words(primary)));
  } else if (!is_good(secondary)) {
    add_damage(facts, fmt::format("the secondary header is {}; the primary is intact", in_words(secondary)));
  } else if (primary.sequence != secondary.sequence) {
    const bool older = primary.sequence < secondary.sequence;
    add_damage(facts, fmt::format("the {} header is out of date; the {} is intact", older ? "primary" : "secondary",
                                  older ? "secondary" : "primary"));
  } else if (!primary_kept || !secondary_kept) {
    add_damage(facts, fmt::format("the {} header is damaged; the {} is intact", primary_kept ? "secondary" : "primary",
                                  primary_kept ? "primary" : "secondary"));
  }
  std::uint64_t metadata = 0;
  std::uint64_t keyslots = 0;
  std::uint64_t header_end = 2 * second_at;
  if (crypt_get_metadata_size(device.get(), &metadata, &keyslots) == 0 && metadata <= 4 * kMiB &&
      keyslots <= kLargestLuks2Header)
    header_end = 2 * metadata + keyslots;
  facts.header = tidy_ranges({{0, header_end}}, source.place.size);
  check_ends(source, header_end, facts);
  const char* text = nullptr;
  if (crypt_dump_json(device.get(), &text, 0) == 0 && text != nullptr) check_segments(text, source, facts);
  return facts;
}

// Where a secondary header says it lies; nothing when there is none.
Result<std::optional<std::uint64_t>> find_secondary(const VolumeSource& source) {
  for (const std::uint64_t offset : kHeaderSizes) {
    CAIRN_TRY(const Buffer start, source.read(ByteOffset(offset), ByteCount(512)));
    if (start.size() < 512) break;
    if (starts_with(start, kSecondaryMagic) && get_be<std::uint16_t>(start, 6) == 2 &&
        get_be<std::uint64_t>(start, 256) == offset)
      return offset;
  }
  return std::nullopt;
}

}  // namespace

Result<std::optional<VolumeFacts>> probe_luks(const VolumeSource& source, std::vector<std::string>& remarks) {
  CAIRN_TRY(Buffer first, source.read(ByteOffset(0), ByteCount(kFirstLook)));
  if (first.size() < 8 || !starts_with(first, kPrimaryMagic)) return std::nullopt;
  const auto version = get_be<std::uint16_t>(first, 6);
  if (version == 1) return probe_luks1(source, std::move(first));

  // The size that the primary states places the secondary; when it states none that can be, the secondary is searched.
  std::uint64_t second_at = judge(first, 0).size;
  if (second_at == 0) {
    CAIRN_TRY(const auto found, find_secondary(source));
    if (!found && version != 2) {
      VolumeFacts facts = facts_of(source, VolumeType::luks2);
      facts.header = tidy_ranges({{0, kUsualHeaderArea}}, source.place.size);
      facts.damage = fmt::format("the header is of LUKS version {}, which does not exist or is not known yet", version);
      return facts;
    }
    second_at = found.value_or(kHeaderSizes.front());
  } else {
    // A flipped bit can turn one possible size into another: the secondary's own place is the better witness.
    CAIRN_TRY(const Buffer there, source.read(ByteOffset(second_at), ByteCount(kBinaryHeader)));
    if (!starts_with(there, kSecondaryMagic)) {
      CAIRN_TRY(const auto found, find_secondary(source));
      second_at = found.value_or(second_at);
    }
  }
  CAIRN_TRY(Buffer area, source.read(ByteOffset(0), ByteCount(2 * second_at)));
  return probe_luks2(source, std::move(area), second_at, remarks);
}

Result<std::optional<VolumeFacts>> probe_luks2_remains(const VolumeSource& source, bool partition_table,
                                                       std::vector<std::string>& remarks) {
  CAIRN_TRY(const auto found, find_secondary(source));
  if (!found) return std::nullopt;
  std::string contents = "a partition table";
  if (!partition_table) {
    CAIRN_TRY(contents, contents_in_words(source));
  }
  if (!contents.empty()) {
    remarks.push_back(
        fmt::format("{} holds the remains of a LUKS2 header at byte {} beside {}", source.name(), *found, contents));
    return std::nullopt;
  }
  CAIRN_TRY(Buffer area, source.read(ByteOffset(0), ByteCount(2 * *found)));
  return probe_luks2(source, std::move(area), *found, remarks);
}

}  // namespace cairn
