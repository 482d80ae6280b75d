// SPDX-License-Identifier: GPL-3.0-or-later
// ImageChain: the files that make up a disk whose image is not raw: the image, what it is an overlay of, and an
// external data file. A header can name any file of the host, so only files that the settings or the definition name
// are ever opened; what a header names must be one of them. Rules: fs/image/FORMATS.md. One thread at a time.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/base/unique_fd.h"
#include "config/disk_source.h"
#include "fs/image/clone/change_watch.h"
#include "fs/image/confined_process.h"
#include "fs/image/image_reader.h"

namespace cairn {

struct ChainFile {
  std::filesystem::path path;
  DiskFormat format = DiskFormat::raw;
  bool is_block_device = false;
  bool is_cloned = false;
  std::filesystem::path clone_folder;  // where the clone can be given a name; empty: nowhere
  std::string why_not_keepable;        // why not, in words
  UniqueFd original;                   // open for reading
  UniqueFd clone;                      // of it; empty: the original is what is read
  std::unique_ptr<ChangeWatch> watch;  // of the original
  [[nodiscard]] int fd() const { return clone ? clone.get() : original.get(); }
};

// What QEMU's own tool says of one file of the chain.
struct ImageFacts {
  std::string backing;  // as the header has it; empty: the image is no overlay
  DiskFormat backing_format = DiskFormat::not_said;
  std::string data_file;  // as the header has it; empty: the data lie in the image
  bool encrypted = false;
  bool dirty = false;         // not closed properly
  bool corrupt = false;       // marked so by QEMU
  std::size_t snapshots = 0;  // internal ones
};

// What QEMU's tool complained of last, without the options that it was given; empty: nothing.
std::string plain_words(const ConfinedProcess& tool);

class ImageChain {
 public:
  // Opens the image alone. `source` is local and of a format that is not raw. Errors: image_missing, image_not_a_disk,
  // permission_denied, image_unreadable, image_tool_missing.
  static Result<ImageChain> begin(const DiskSource& source);
  // Follows the headers, and opens the other files. Before clone(), so that they are cloned, too; then check() after
  // it. An image that is the only file may be cloned first: then what is looked at is the clone, and check() has
  // nothing to say. Errors: image_not_opened, image_encrypted, backing_file_not_named, backing_file_missing,
  // image_chain_loop, permission_denied, io_error.
  Result<void> follow();
  // Both.
  static Result<ImageChain> open(const DiskSource& source);

  // Clones every file, the image first, where the file systems can. Words: why some are not cloned; empty: all are.
  // Call once, and then check().
  Result<std::string> clone(const std::filesystem::path& clone_folder);
  // Watches those files that are read as they are. Errors: image_unreadable.
  Result<void> watch();
  // Whether the headers still name the same files, as they do unless somebody changed the chain meanwhile.
  // Errors: as open(); image_not_opened.
  Result<void> check();

  // Whether a file below the image was written to while the files were cloned, one after the other.
  Result<std::optional<ImageChange>> changed_while_cloned();
  // What is seen of changes to the files that are not cloned, the worst of them.
  Result<std::optional<ImageChange>> changed();

  [[nodiscard]] bool all_cloned() const;
  // The image first, then what it is an overlay of; the external data file is the last.
  [[nodiscard]] const std::vector<ChainFile>& files() const { return files_; }
  // The descriptors, in the order of files().
  [[nodiscard]] std::vector<int> fds() const;
  // Of the image itself.
  [[nodiscard]] const ImageFacts& facts() const { return facts_.front(); }
  [[nodiscard]] std::size_t layers() const { return facts_.size(); }
  // The node of QEMU's block graph that reads layer `first` and what is below it, as the text of its options: every
  // file by its descriptor, nothing by its name.
  [[nodiscard]] std::string node(std::size_t first = 0) const;
  // Layer `layer` alone.
  [[nodiscard]] std::string node_alone(std::size_t layer) const;
  // Why the tools are not confined as they should be; empty: they are.
  [[nodiscard]] const std::string& not_confined() const { return not_confined_; }
  // Whether another process holds QEMU's lock on the image.
  [[nodiscard]] bool is_locked() const;

 private:
  explicit ImageChain(DiskSource source) : source_(std::move(source)) {}
  Result<void> add(const std::filesystem::path& path, DiskFormat format);
  Result<ImageFacts> look_at(std::size_t layer);
  Result<void> check_data_file(const ImageFacts& facts);
  Result<BackingFile> named_backing(std::size_t layer, const ImageFacts& facts);
  [[nodiscard]] std::unexpected<Error> not_named(const std::string& what, const std::filesystem::path& file,
                                                 const std::string& line) const;
  [[nodiscard]] nlohmann::json node_json(std::size_t layer, bool with_backing) const;
  [[nodiscard]] nlohmann::json file_json(std::size_t index) const;

  DiskSource source_;
  std::vector<ChainFile> files_;
  std::vector<ImageFacts> facts_;  // of the layers; files_ has the data file behind them
  bool has_data_file_ = false;
  std::string not_confined_;
};

}  // namespace cairn
