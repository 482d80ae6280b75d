// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/image/qemu_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "fs/image/change/qcow2_extents.h"

namespace cairn {
namespace {

constexpr unsigned kServed = 4;  // connections
constexpr int kOpenTries = 3;    // when files below the image change while they are cloned
constexpr std::chrono::minutes kCheckTime{30};
constexpr std::uint64_t kForgetEvery = 256ULL << 20;  // bytes read

struct Connected {
  UniqueFd listener;
  std::vector<UniqueFd> clients;
};

// A listening socket with our connections already waiting on it. Its name lives for that moment, in a folder of our
// own: nobody else can connect, and nothing is left behind.
Result<Connected> connect_to_ourselves(const std::string& object) {
  const auto failed = [&] { return fail_errno(errno, "open image", object, ErrorCode::io_error, "a socket"); };
  std::error_code none;
  std::filesystem::path above = std::filesystem::temp_directory_path(none);
  if (none) above = "/tmp";
  std::string folder = (above / "cairn-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return failed();
  const std::string path = folder + "/s";
  Connected made;
  made.listener = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  bool good = static_cast<bool>(made.listener) && path.size() < sizeof address.sun_path;
  if (good) path.copy(address.sun_path, path.size());
  const auto* const place = reinterpret_cast<const sockaddr*>(&address);
  good = good && ::bind(made.listener.get(), place, sizeof address) == 0 &&
         ::listen(made.listener.get(), static_cast<int>(kServed)) == 0;
  for (unsigned i = 0; good && i < kServed; ++i) {
    UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    good = client && ::connect(client.get(), place, sizeof address) == 0;
    made.clients.push_back(std::move(client));
  }
  const int error = errno;
  ::unlink(path.c_str());
  ::rmdir(folder.c_str());
  errno = error;
  if (!good) return failed();
  return made;
}

bool has_tables(DiskFormat format) {
  return format == DiskFormat::qcow2 || format == DiskFormat::vmdk || format == DiskFormat::vdi ||
         format == DiskFormat::vhdx;
}

std::uint64_t count_in(const nlohmann::json& report, const char* name) {
  return report.is_object() && report.contains(name) && report.at(name).is_number_unsigned()
             ? report.at(name).get<std::uint64_t>()
             : 0;
}

}  // namespace

Result<std::unique_ptr<ImageReader>> QemuImage::open(const DiskSource& source, CloneMode mode,
                                                     const std::filesystem::path& clone_folder) {
  CAIRN_TRY(const std::string tool, find_tool("qemu-nbd"));
  const bool alone = source.backing.empty() && source.data_file.empty();
  for (int attempt = 1;; ++attempt) {
    CAIRN_TRY(ImageChain chain, ImageChain::begin(source));
    std::string why_not_cloned;
    if (mode == CloneMode::never) {
      CAIRN_CHECK(chain.watch());
      CAIRN_CHECK(chain.follow());
      CAIRN_CHECK(chain.watch());
    } else if (alone) {
      CAIRN_TRY(why_not_cloned, chain.clone(clone_folder));
      CAIRN_CHECK(chain.follow());
    } else {
      CAIRN_CHECK(chain.follow());
      CAIRN_TRY(why_not_cloned, chain.clone(clone_folder));
    }
    CAIRN_TRY(auto while_cloned, chain.changed_while_cloned());
    if (while_cloned && attempt < kOpenTries) continue;
    if (mode == CloneMode::try_clone && !alone) CAIRN_CHECK(chain.check());
    std::unique_ptr<QemuImage> image(new QemuImage(std::move(chain), source, std::move(why_not_cloned)));
    image->while_cloned_ = std::move(while_cloned);
    image->mode_ = mode;
    return image;
  }
}

Result<void> QemuImage::begin_reading() {
  CAIRN_CHECK(serve());
  why_not_keepable_ = why_not_trackable();
  if (mode_ == CloneMode::try_clone && chain_.all_cloned()) begin_checks();
  return {};
}

QemuImage::~QemuImage() {
  // First the connections: the server ends when the last of them does.
  disk_.reset();
  forget();
}

Result<void> QemuImage::serve() {
  CAIRN_TRY(Connected made, connect_to_ourselves(source_.text()));
  ConfinedCommand command;
  command.tool = "qemu-nbd";
  // Not persistent: it ends when our connections do.
  command.words = {"--read-only", fmt::format("--shared={}", kServed), chain_.node()};
  command.files = chain_.fds();
  command.files_of_others = !chain_.all_cloned();
  command.listener = made.listener.get();
  CAIRN_TRY(server_, ConfinedProcess::start(command, "open image", source_.text()));
  made.listener.reset();
  auto server = NbdConnections::adopt(std::move(made.clients), source_.text());
  if (!server) {
    // It ends by itself when it cannot open the image: its words are complete then.
    static_cast<void>(server_->finish(std::chrono::seconds(1)));
    Error error = std::move(server).error();
    if (!server_->last_words().empty()) error.code = ErrorCode::image_not_opened;
    return pass_on(with_words(std::move(error)));
  }
  disk_ = std::make_unique<NbdImage>(*std::move(server));
  return {};
}

Error QemuImage::with_words(Error error) const {
  if (const std::string words = plain_words(*server_); !words.empty()) error.because += "; qemu-nbd said: " + words;
  return error;
}

Result<ImageExtent> QemuImage::extent_at(std::uint64_t offset) {
  auto extent = disk_->extent_at(offset);
  if (!extent) return pass_on(with_words(std::move(extent).error()));
  return extent;
}

Result<void> QemuImage::read(std::uint64_t offset, MutableBytes to) {
  auto done = disk_->read(offset, to);
  if (read_.fetch_add(to.size()) / kForgetEvery != read_.load() / kForgetEvery) forget();
  if (!done) return pass_on(with_words(std::move(done).error()));
  return done;
}

std::string QemuImage::why_not_trackable() const {
  if (!chain_.all_cloned()) return why_not_cloned_.empty() ? "it is not read from a clone" : why_not_cloned_;
  if (while_cloned_) return "it was written to while its files were cloned";
  if (source_.format != DiskFormat::qcow2)
    return fmt::format("changes of {} images are not tracked in this version", to_string(source_.format));
  if (chain_.files().size() > chain_.layers())
    return "changes of images with an external data file are not tracked in this version";
  const auto extents = qcow2_extents(chain_.files().front().fd());
  if (!extents) return extents.error().because.empty() ? extents.error().message() : extents.error().because;
  if (extents->disk_size != size()) return "its header and its reader name different sizes";
  return chain_.files().front().why_not_keepable;
}

int QemuImage::fd() const {
  return clone_folder().empty() ? -1 : chain_.files().front().fd();
}

std::filesystem::path QemuImage::clone_folder() const {
  return why_not_keepable_.empty() ? chain_.files().front().clone_folder : std::filesystem::path();
}

// What was read from a clone nobody else reads: it must not push out what the guests use.
void QemuImage::forget() {
  for (const ChainFile& file : chain_.files())
    if (file.is_cloned) static_cast<void>(::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED));
}

Result<std::optional<ImageChange>> QemuImage::changed_underneath() {
  if (while_cloned_) return while_cloned_;
  return chain_.changed();
}

std::string QemuImage::how() const {
  const char* what = chain_.all_cloned()                      ? "reflink clone"
                     : chain_.files().front().is_block_device ? "block device"
                                                              : "file";
  return fmt::format("{} in a {}", to_string(source_.format), what);
}

std::string QemuImage::note() const {
  std::string note;
  const auto add = [&](const std::string& words) { note += (note.empty() ? "" : "; ") + words; };
  if (!why_not_cloned_.empty()) add(why_not_cloned_);
  if (!chain_.all_cloned() && chain_.is_locked())
    add("another process has it in use (QEMU's lock), which was not waited for");
  if (const std::size_t count = chain_.facts().snapshots; count > 0)
    add(fmt::format("its internal snapshots ({}) are not in the backup: what it holds now is", count));
  if (chain_.layers() > 1) add(fmt::format("read through {} backing files", chain_.layers() - 1));
  if (chain_.facts().dirty) add("it was not closed properly (dirty flag)");
  if (!chain_.not_confined().empty()) add("the reader is not confined: " + chain_.not_confined());
  return note;
}

// They run beside the reading.
void QemuImage::begin_checks() {
  if (!checks_.empty()) return;
  for (std::size_t layer = 0; layer < chain_.layers(); ++layer) {
    const ChainFile& file = chain_.files()[layer];
    if (!has_tables(file.format)) continue;
    ConfinedCommand command;
    command.tool = "qemu-img";
    command.words = {"check", "--output=json", chain_.node_alone(layer)};
    command.files = chain_.fds();
    command.files_of_others = !chain_.all_cloned();
    checks_.push_back({layer, ConfinedProcess::start(command, "check image", file.path.string())});
  }
}

std::vector<Error> QemuImage::findings() {
  std::vector<Error> found;
  const auto damaged = [&](const std::filesystem::path& file, std::string because) {
    found.push_back(Error{ErrorCode::image_damaged, "check image", file.string(), std::move(because), 0, {}});
  };
  if (chain_.facts().corrupt) damaged(source_.path, "QEMU has marked it corrupt");
  // What is written to meanwhile looks damaged.
  const auto change = chain_.changed();
  if (!change || (*change && (*change)->kind == ImageChange::Kind::torn)) return found;
  begin_checks();
  for (Check& check : checks_) {
    const ChainFile& file = chain_.files()[check.layer];
    auto& tool = check.tool;
    const auto status = tool ? tool->finish(kCheckTime) : Result<int>(pass_on(tool.error()));
    if (!status) {
      damaged(file.path, "whether it is damaged is not known: " + status.error().message());
      continue;
    }
    constexpr int kLeaksOnly = 3;  // clusters that nothing uses: normal in the clone of a running guest's image
    constexpr int kNotSupported = 63;
    if (*status == 0 || *status == kLeaksOnly || *status == kNotSupported) continue;
    const auto report = parse_json(tool->output());
    const std::uint64_t corruptions = report ? count_in(*report, "corruptions") : 0;
    const std::uint64_t errors = report ? count_in(*report, "check-errors") : 0;
    damaged(file.path, report && corruptions + errors > 0
                           ? fmt::format("qemu-img check found {} corruptions, and {} tables that it could not check",
                                         corruptions, errors)
                           : fmt::format("qemu-img check ended with {}: {}", *status, plain_words(*tool)));
  }
  return found;
}

}  // namespace cairn
