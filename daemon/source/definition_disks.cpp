// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/source/definition_disks.h"

#include <expat.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>

#include "config/base/unique_fd.h"
#include "config/base/units.h"

namespace cairn {
namespace {

constexpr std::uint64_t kMaxDefinitionBytes = kMiB;
constexpr std::size_t kMaxDefinedDisks = 1000;
constexpr std::size_t kMaxBacking = 200;

std::string attribute(const char** attributes, std::string_view name) {
  for (; attributes[0] != nullptr; attributes += 2)
    if (name == attributes[0]) return attributes[1];
  return {};
}

// Where a <source> leads: a path, or words for a network disk or a volume of a pool.
std::string source_text(const char** attributes) {
  for (const char* name : {"file", "dev", "dir"})
    if (std::string path = attribute(attributes, name); !path.empty()) return path;
  const std::string pool = attribute(attributes, "pool");
  if (!pool.empty()) return "pool:" + pool + "/" + attribute(attributes, "volume");
  const std::string protocol = attribute(attributes, "protocol");
  if (!protocol.empty()) return protocol + ":" + attribute(attributes, "name");
  return {};
}

// Follows the elements: domain, devices, disk, and in it source, target, and backingStore within backingStore.
class DomainReader {
 public:
  [[nodiscard]] bool is_domain() const { return is_domain_; }
  [[nodiscard]] std::vector<DefinedDisk> take() && { return std::move(disks_); }

  // False: nested deeper than any definition is.
  [[nodiscard]] bool begin(const char* element, const char** attributes) {
    if (path_.size() >= kDeepest) return false;
    path_.emplace_back(element);
    enter(attributes);
    return true;
  }

  void end() {
    if (path_.empty()) return;
    if (in_disk_ && path_.size() == depth_) {
      in_disk_ = false;
      if (disks_.size() < kMaxDefinedDisks) disks_.push_back(std::move(disk_));
    }
    path_.pop_back();
  }

 private:
  static constexpr std::size_t kDeepest = 1000;

  void enter(const char** attributes) {
    // `virsh dumpxml` writes <domain>; a saved status file has it inside.
    if (path_.back() == "domain") is_domain_ = true;
    if (path_.back() == "disk" && path_.size() >= 2 && path_[path_.size() - 2] == "devices") {
      const std::string device = attribute(attributes, "device");
      in_disk_ = device.empty() || device == "disk" || device == "lun";
      depth_ = path_.size();
      disk_ = {};
      backing_format_.clear();
      return;
    }
    if (!in_disk_) return;
    if (path_.back() == "backingStore") backing_format_.clear();
    const bool of_backing = std::ranges::find(path_.begin() + static_cast<std::ptrdiff_t>(depth_), path_.end(),
                                              "backingStore") != path_.end();
    // A copy that is being made (blockcopy) is no disk of the machine yet.
    if (std::ranges::find(path_.begin() + static_cast<std::ptrdiff_t>(depth_), path_.end(), "mirror") != path_.end())
      return;
    if (path_.back() == "target" && path_.size() == depth_ + 1) disk_.target = attribute(attributes, "dev");
    if (path_.back() == "driver" && path_.size() == depth_ + 1) disk_.format = attribute(attributes, "type");
    // Of the next source, which comes after it.
    if (path_.back() == "format" && of_backing) backing_format_ = attribute(attributes, "type");
    if (path_.back() != "source") return;
    std::string source = source_text(attributes);
    const bool of_data = path_.size() >= 2 && path_[path_.size() - 2] == "dataStore";
    if (of_data) {
      // Only that of the image itself: disk, source, dataStore, source.
      if (!of_backing && disk_.data_file.empty()) disk_.data_file = std::move(source);
      return;
    }
    if (!of_backing && path_.size() == depth_ + 1) {
      disk_.source = std::move(source);
    } else if (of_backing && !source.empty() && disk_.backing.size() < kMaxBacking) {
      disk_.backing.push_back(std::move(source));
      disk_.backing_formats.push_back(std::exchange(backing_format_, {}));
    }
  }

  std::vector<std::string> path_;
  bool is_domain_ = false;
  bool in_disk_ = false;
  std::size_t depth_ = 0;  // of the disk's element
  DefinedDisk disk_;
  std::string backing_format_;
  std::vector<DefinedDisk> disks_;
};

// Handlers get the parser, so that one of them can stop it.
DomainReader& reader_of(void* parser) {
  return *static_cast<DomainReader*>(XML_GetUserData(static_cast<XML_Parser>(parser)));
}
void begin_element(void* parser, const char* element, const char** attributes) {
  if (!reader_of(parser).begin(element, attributes)) XML_StopParser(static_cast<XML_Parser>(parser), XML_FALSE);
}
void end_element(void* parser, const char*) {
  reader_of(parser).end();
}
// A definition has no need of a document type, and what it declares can be made to grow without bound.
void refuse_doctype(void* parser, const char*, const char*, const char*, int) {
  XML_StopParser(static_cast<XML_Parser>(parser), XML_FALSE);
}

// As the file that the path leads to: through links, relative parts and double slashes.
std::string real_path(const std::string& path) {
  std::error_code error;
  const auto real = std::filesystem::weakly_canonical(path, error);
  return error ? path : real.string();
}

}  // namespace

Result<std::string> read_definition(const std::filesystem::path& path) {
  constexpr const char* kDoing = "read definition";
  // O_NONBLOCK: a pipe put in the file's place must not hang the backup.
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat facts{};
  if (!file || ::fstat(file.get(), &facts) != 0) return fail_errno(errno, kDoing, path.string());
  if (!S_ISREG(facts.st_mode))
    return fail(ErrorCode::used_wrongly, kDoing, path.string(), "it is not a regular file; the point has none",
                "name a file");
  std::string text;
  text.resize(kMaxDefinitionBytes + 1);
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, kDoing, path.string());
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > kMaxDefinitionBytes)
    return fail(ErrorCode::used_wrongly, kDoing, path.string(),
                fmt::format("it is larger than {}; the point has none", format_size(kMaxDefinitionBytes)),
                "name the machine's own definition");
  text.resize(size);
  return text;
}

bool looks_like_xml(const std::string& text) {
  std::string_view rest = text;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
  const std::size_t first = rest.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && rest[first] == '<';
}

Result<std::vector<DefinedDisk>> disks_of_definition(const std::string& text, const std::string& object) {
  constexpr const char* kDoing = "read the disks of definition";
  constexpr const char* kHelp = "name libvirt's XML of the machine, as \"virsh dumpxml\" writes it";
  const std::unique_ptr<XML_ParserStruct, decltype(&XML_ParserFree)> parser(XML_ParserCreate(nullptr), XML_ParserFree);
  if (!parser) return fail(ErrorCode::out_of_memory, kDoing, object);
  DomainReader reader;
  XML_SetUserData(parser.get(), &reader);
  XML_UseParserAsHandlerArg(parser.get());
  XML_SetElementHandler(parser.get(), begin_element, end_element);
  XML_SetStartDoctypeDeclHandler(parser.get(), refuse_doctype);
  if (XML_Parse(parser.get(), text.data(), static_cast<int>(text.size()), XML_TRUE) != XML_STATUS_OK)
    return fail(ErrorCode::settings_invalid, kDoing, object,
                fmt::format("it is not XML, from line {} on: {}", XML_GetCurrentLineNumber(parser.get()),
                            XML_ErrorString(XML_GetErrorCode(parser.get()))),
                kHelp);
  if (!reader.is_domain()) return fail(ErrorCode::settings_invalid, kDoing, object, "it describes no domain", kHelp);
  return std::move(reader).take();
}

bool is_same_image(const std::string& one, const std::filesystem::path& other) {
  return !one.empty() && real_path(one) == real_path(other.string());
}

std::vector<Error> disks_not_backed_up(const MachineSettings& machine, const std::vector<DefinedDisk>& disks) {
  const auto backed_up = [&](const std::string& source) -> const DiskSettings* {
    for (const DiskSettings& disk : machine.disks)
      if (disk.image.kind == DiskSource::Kind::local && is_same_image(source, disk.image.path)) return &disk;
    return nullptr;
  };
  std::vector<Error> missing;
  for (const DefinedDisk& disk : disks) {
    if (disk.source.empty()) continue;  // an empty drive
    if (machine.leaves_out(disk.target) || machine.leaves_out(disk.source)) continue;
    if (backed_up(disk.source) != nullptr) continue;
    std::string because = fmt::format("the machine's definition has the disk {} ({}), and the settings do not name it",
                                      disk.source, disk.target);
    for (const std::string& below : disk.backing) {
      const DiskSettings* const base = backed_up(below);
      if (base == nullptr) continue;
      because += fmt::format(
          ": it is an overlay (of an external snapshot), and disk {} is only its base {}, which the machine does not "
          "write to any more",
          base->name, below);
      break;
    }
    missing.push_back({ErrorCode::disk_not_backed_up, "back up all of", machine.name, std::move(because), 0, {}});
  }
  return missing;
}

}  // namespace cairn
