// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/image/image_chain.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "fs/file/lock_seen.h"
#include "fs/image/clone/reflink_clone.h"
#include "fs/image/confined_process.h"
#include "fs/image/raw_image.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr const char* kOpeningChain = "open image";
constexpr std::size_t kMostLayers = 200;  // as QEMU
constexpr std::chrono::seconds kLookTime{60};

std::string_view driver_of(DiskFormat format) {
  return format == DiskFormat::vhd ? "vpc" : to_string(format);
}

// Where a header's name of another file leads, when it is one of this host; empty: it is none.
std::filesystem::path path_from(const std::string& name, const std::filesystem::path& image) {
  std::string_view rest = name;
  if (rest.starts_with("file:")) rest.remove_prefix(5);
  // "json:", "nbd://", "rbd:pool/x": what stands before the first slash tells.
  const std::size_t colon = rest.find(':');
  if (colon != std::string_view::npos && rest.substr(0, colon).find('/') == std::string_view::npos) return {};
  const std::filesystem::path named(rest);
  return (named.is_absolute() ? named : image.parent_path() / named).lexically_normal();
}

struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileId&) const = default;
};
std::optional<FileId> file_id(int fd) {
  struct stat facts{};
  if (::fstat(fd, &facts) != 0) return std::nullopt;
  return FileId{facts.st_dev, facts.st_ino};
}
std::optional<FileId> file_id(const std::filesystem::path& path) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) return std::nullopt;
  return FileId{facts.st_dev, facts.st_ino};
}

ImageFacts facts_from(const json& info) {
  ImageFacts facts;
  facts.backing = info.value("backing-filename", std::string());
  facts.backing_format =
      parse_disk_format(info.value("backing-filename-format", std::string())).value_or(DiskFormat::not_said);
  facts.encrypted = info.value("encrypted", false);
  facts.dirty = info.value("dirty-flag", false);
  if (info.contains("snapshots")) facts.snapshots = info.at("snapshots").size();
  if (!info.contains("format-specific") || !info.at("format-specific").contains("data")) return facts;
  const json& data = info.at("format-specific").at("data");
  facts.data_file = data.value("data-file", std::string());
  facts.corrupt = data.value("corrupt", false);
  facts.encrypted = facts.encrypted || data.contains("encrypt");
  return facts;
}

}  // namespace

std::string plain_words(const ConfinedProcess& tool) {
  std::string words = tool.last_words();
  // "qemu-img: Could not open 'json:{...}': Image is not in qcow2 format"
  const std::size_t from = words.find("'json:{");
  const std::size_t until = words.find("}'", from == std::string::npos ? 0 : from);
  if (from == std::string::npos || until == std::string::npos) return words;
  words.replace(from, until + 2 - from, "it");
  return words;
}

std::unexpected<Error> ImageChain::not_named(const std::string& what, const std::filesystem::path& file,
                                             const std::string& line) const {
  return fail(ErrorCode::backing_file_not_named, kOpeningChain, source_.text(),
              fmt::format("{} {}, which neither the settings nor the machine's definition name", what, file.string()),
              fmt::format("if that is right, add \"{}\" to the disk's settings", line));
}

Result<void> ImageChain::add(const std::filesystem::path& path, DiskFormat format) {
  auto opened = open_image_file(path);
  if (!opened && !files_.empty()) {
    const Error& error = opened.error();
    const bool missing = error.code == ErrorCode::image_missing;
    return pass_on(Error{missing ? ErrorCode::backing_file_missing : error.code,
                         kOpeningChain,
                         source_.text(),
                         fmt::format("it needs the file {}: {}", path.string(),
                                     missing ? std::string("that is not there") : error.message()),
                         error.sys_errno,
                         {}});
  }
  if (!opened) return pass_on(std::move(opened).error());
  ChainFile file;
  file.path = path;
  file.format = format;
  file.is_block_device = opened->is_block_device;
  file.original = std::move(opened->fd);
  files_.push_back(std::move(file));
  return {};
}

Result<ImageChain> ImageChain::begin(const DiskSource& source) {
  CAIRN_ASSERT(source.kind == DiskSource::Kind::local && !source.is_raw());
  CAIRN_TRY(const std::string tool, find_tool("qemu-img"));
  ImageChain chain(source);
  CAIRN_CHECK(chain.add(source.path, source.format));
  return chain;
}

Result<ImageChain> ImageChain::open(const DiskSource& source) {
  CAIRN_TRY(ImageChain chain, begin(source));
  CAIRN_CHECK(chain.follow());
  return chain;
}

Result<void> ImageChain::follow() {
  std::vector<FileId> seen;
  for (std::size_t layer = 0;; ++layer) {
    const auto id = file_id(files_[layer].original.get());
    if (layer >= kMostLayers || !id || std::ranges::find(seen, *id) != seen.end())
      return fail(ErrorCode::image_chain_loop, kOpeningChain, source_.text(),
                  fmt::format("{} leads back to itself, or on through more than {} files", files_[layer].path.string(),
                              kMostLayers));
    seen.push_back(*id);
    CAIRN_TRY(const ImageFacts facts, look_at(layer));
    facts_.push_back(facts);
    if (layer > 0 && !facts.data_file.empty())
      return fail(ErrorCode::image_not_opened, kOpeningChain, source_.text(),
                  fmt::format("its backing file {} has its data in another file, which is not read",
                              files_[layer].path.string()));
    if (facts.backing.empty()) break;
    CAIRN_TRY(const BackingFile below, named_backing(layer, facts));
    CAIRN_CHECK(add(below.path, below.format));
  }
  return check_data_file(facts());
}

Result<BackingFile> ImageChain::named_backing(std::size_t layer, const ImageFacts& facts) {
  const std::filesystem::path path = path_from(facts.backing, files_[layer].path);
  if (path.empty())
    return fail(ErrorCode::image_not_opened, kOpeningChain, source_.text(),
                fmt::format("{} is an overlay of \"{}\", which is no file of this host", files_[layer].path.string(),
                            facts.backing));
  std::string line = "backing: [";
  for (std::size_t i = 1; i < files_.size(); ++i) line += files_[i].path.string() + ", ";
  line += path.string() + "]";
  const std::string what = fmt::format("{} is an overlay of", files_[layer].path.string());
  if (layer >= source_.backing.size()) return not_named(what, path, line);
  BackingFile named = source_.backing[layer];
  const auto wanted = file_id(path);
  const auto given = file_id(named.path);
  if (named.path.lexically_normal() != path && (!wanted || !given || *wanted != *given))
    return not_named(what, path, line);
  if (named.format == DiskFormat::not_said) named.format = facts.backing_format;
  if (named.format == DiskFormat::not_said)
    return fail(ErrorCode::backing_file_not_named, kOpeningChain, source_.text(),
                fmt::format("nobody says which format the backing file {} has", path.string()),
                fmt::format("say it in the image: qemu-img rebase -u -F FORMAT -b {} {}", facts.backing,
                            files_[layer].path.string()));
  return named;
}

Result<void> ImageChain::check_data_file(const ImageFacts& facts) {
  if (facts.data_file.empty()) return {};
  const std::filesystem::path path = path_from(facts.data_file, source_.path);
  const auto wanted = file_id(path);
  const auto given = file_id(source_.data_file);
  if (source_.data_file.empty() || (source_.data_file != path && (!wanted || !given || *wanted != *given)))
    return not_named("its data lie in", path.empty() ? std::filesystem::path(facts.data_file) : path,
                     "data_file: " + path.string());
  CAIRN_CHECK(add(source_.data_file, DiskFormat::raw));
  has_data_file_ = true;
  return {};
}

// What is read is the clone when there is one.
Result<ImageFacts> ImageChain::look_at(std::size_t layer) {
  const ChainFile& file = files_[layer];
  if (file.format == DiskFormat::raw) return ImageFacts{};
  ConfinedCommand command;
  command.tool = "qemu-img";
  command.words = {"info", "--output=json", node_alone(layer)};
  command.files = fds();
  command.files_of_others = !all_cloned();
  CAIRN_TRY(ConfinedProcess tool, ConfinedProcess::start(command, kOpeningChain, file.path.string()));
  not_confined_ = tool.not_confined();
  CAIRN_TRY(const int status, tool.finish(kLookTime));
  const auto refused = [&](const std::string& why) {
    return fail(ErrorCode::image_not_opened, kOpeningChain, source_.text(),
                fmt::format("{} as {}: {}", file.path.string(), to_string(file.format), why));
  };
  if (status != 0) return refused(plain_words(tool).empty() ? fmt::format("status {}", status) : plain_words(tool));
  const auto document = parse_json(tool.output());
  if (!document || !document->is_object()) return refused("qemu-img did not print what it should");
  CAIRN_TRY(ImageFacts facts, read_document([&]() -> Result<ImageFacts> { return facts_from(*document); },
                                            [&](const std::string& because) -> Result<ImageFacts> {
                                              return refused("qemu-img did not print what it should: " + because);
                                            }));
  if (facts.encrypted)
    return fail(ErrorCode::image_encrypted, kOpeningChain, source_.text(),
                layer == 0 ? std::string("the format itself encrypts it")
                           : fmt::format("its backing file {} is encrypted by the format itself", file.path.string()));
  return facts;
}

Result<std::string> ImageChain::clone(const std::filesystem::path& clone_folder) {
  // What lies below the image should not change at all; whether it did while it was cloned is seen by this.
  for (std::size_t i = 1; i < files_.size(); ++i) {
    ChainFile& file = files_[i];
    CAIRN_TRY(file.watch, file.is_block_device ? watch_block_device(file.original.get(), file.path)
                                               : watch_file(file.original.get(), file.path));
  }
  std::string why;
  for (ChainFile& file : files_) {
    if (file.is_block_device) {
      why = "no clone: " + file.path.string() + " is a block device";
      continue;
    }
    ReflinkClone cloned = clone_image(file.original.get(), file.path, clone_folder);
    if (cloned.fd) {
      file.clone = std::move(cloned.fd);
      file.is_cloned = true;
      file.clone_folder = std::move(cloned.folder);
      file.why_not_keepable = std::move(cloned.why_not_keepable);
    } else if (why.empty()) {
      why = std::move(cloned.reason);
    }
  }
  CAIRN_CHECK(watch());
  return why;
}

Result<void> ImageChain::watch() {
  for (ChainFile& file : files_) {
    if (file.is_cloned || file.watch) continue;
    CAIRN_TRY(file.watch, file.is_block_device ? watch_block_device(file.original.get(), file.path)
                                               : watch_file(file.original.get(), file.path));
  }
  return {};
}

Result<void> ImageChain::check() {
  for (std::size_t layer = 0; layer < facts_.size(); ++layer) {
    CAIRN_TRY(ImageFacts facts, look_at(layer));
    const ImageFacts& before = facts_[layer];
    if (facts.backing != before.backing || facts.data_file != before.data_file)
      return fail(
          ErrorCode::image_not_opened, kOpeningChain, source_.text(),
          fmt::format("{} was made an overlay of another file while it was opened", files_[layer].path.string()),
          "run the backup again");
    facts_[layer] = std::move(facts);
  }
  return {};
}

Result<std::optional<ImageChange>> ImageChain::changed_while_cloned() {
  for (std::size_t i = 1; i < files_.size(); ++i) {
    if (!files_[i].is_cloned || !files_[i].watch) continue;
    CAIRN_TRY(auto change, files_[i].watch->look());
    if (!change || change->kind == ImageChange::Kind::untouched) continue;
    change->words =
        fmt::format("{}: it was written to while the files of the image were cloned", files_[i].path.string());
    return change;
  }
  return std::nullopt;
}

Result<std::optional<ImageChange>> ImageChain::changed() {
  using Kind = ImageChange::Kind;
  const auto badness = [](const ImageChange& change) {
    return change.kind == Kind::torn ? 2 : change.kind == Kind::not_known ? 1 : 0;
  };
  std::vector<ImageChange> worst;  // at most one
  for (const ChainFile& file : files_) {
    if (file.is_cloned || !file.watch) continue;
    CAIRN_TRY(auto change, file.watch->look());
    if (!change) continue;
    if (files_.size() > 1) change->words = file.path.string() + ": " + change->words;
    if (worst.empty() || badness(*change) > badness(worst.front())) worst.assign(1, *std::move(change));
    if (badness(worst.front()) == 2) break;
  }
  if (worst.empty()) return std::nullopt;
  return std::move(worst.front());
}

bool ImageChain::all_cloned() const {
  return std::ranges::all_of(files_, &ChainFile::is_cloned);
}

std::vector<int> ImageChain::fds() const {
  std::vector<int> all;
  for (const ChainFile& file : files_) all.push_back(file.fd());
  return all;
}

json ImageChain::file_json(std::size_t index) const {
  const bool device = files_[index].is_block_device;
  json file{{"driver", device ? "host_device" : "file"}, {"filename", given_file(index)}, {"read-only", true}};
  // The lock of a live image is its guest's.
  file["locking"] = "off";
  return file;
}

json ImageChain::node_json(std::size_t layer, bool with_backing) const {
  json node{{"driver", driver_of(files_[layer].format)}, {"file", file_json(layer)}, {"read-only", true}};
  if (files_[layer].format == DiskFormat::raw) return node;
  node["backing"] = nullptr;
  if (layer == 0 && has_data_file_) node["data-file"] = file_json(files_.size() - 1);
  if (with_backing && layer + 1 < facts_.size()) node["backing"] = node_json(layer + 1, true);
  return node;
}

std::string ImageChain::node(std::size_t first) const {
  return "json:" + json_text(node_json(first, true));
}

std::string ImageChain::node_alone(std::size_t layer) const {
  return "json:" + json_text(node_json(layer, false));
}

bool ImageChain::is_locked() const {
  return lock_seen(files_.front().original.get()).has_value();
}

}  // namespace cairn
