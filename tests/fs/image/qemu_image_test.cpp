// SPDX-License-Identifier: GPL-3.0-or-later
// Images that are not raw: which files are read for them and which are not, what is said of damage, and that the reader
// neither outlives us nor stops anybody.
#include "fs/image/qemu_image.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>

#include "config/base/units.h"
#include "fs/image/open_image.h"
#include "tests/support/sandbox.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// The processes that this thread has started and that have not ended.
std::vector<pid_t> children() {
  std::ifstream list("/proc/thread-self/children");
  std::vector<pid_t> all;
  for (pid_t pid = 0; list >> pid;) all.push_back(pid);
  return all;
}

class QemuImages : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!have_program("qemu-img") || !have_program("qemu-nbd")) GTEST_SKIP() << "needs qemu-utils";
  }

  void must(const std::vector<std::string>& command) {
    const ProgramResult done = run(command);
    ASSERT_EQ(done.status, 0) << command.front() << " " << command.at(1) << ": " << done.output;
  }
  std::string at(const std::string& name) { return (box_ / name).string(); }
  void create(const std::string& name, const std::vector<std::string>& options = {}, const std::string& size = "8M") {
    std::vector<std::string> command{"qemu-img", "create", "-q", "-f", "qcow2"};
    command.insert(command.end(), options.begin(), options.end());
    command.push_back(at(name));
    if (!size.empty()) command.push_back(size);
    must(command);
  }
  void write(const std::string& name, const std::string& what, const std::string& format = "qcow2") {
    must({"qemu-io", "-f", format, "-c", "write " + what, at(name)});
  }
  DiskSource source(const std::string& name, const std::vector<std::string>& backing = {}) {
    DiskSource source{std::filesystem::path(at(name))};
    source.format = DiskFormat::qcow2;
    for (const std::string& file : backing) source.backing.push_back({at(file)});
    return source;
  }
  std::unique_ptr<ImageReader> open_ok(const DiskSource& source, CloneMode mode = CloneMode::never) {
    auto reader = open_image(source, mode);
    EXPECT_TRUE(reader) << reader.error().message();
    return reader ? std::move(*reader) : nullptr;
  }
  Error error_of(const DiskSource& source) {
    const auto reader = open_image(source, CloneMode::never);
    EXPECT_FALSE(reader) << "it was opened";
    return reader ? Error{} : reader.error();
  }
  static std::uint8_t byte_at(ImageReader& reader, std::uint64_t offset) {
    Buffer byte(1);
    const auto done = reader.read(offset, byte);
    EXPECT_TRUE(done) << done.error().message();
    return byte[0];
  }

  Sandbox box_;
};

TEST_F(QemuImages, AnOverlayIsReadThroughTheFilesThatAreNamed) {
  create("base");
  write("base", "-P 1 0 64k");
  create("middle", {"-b", "base", "-F", "qcow2"}, "");
  write("middle", "-P 2 1M 64k");
  create("top", {"-b", at("middle"), "-F", "qcow2"}, "");
  write("top", "-P 3 2M 64k");
  write("top", "-z 0 4k");
  const auto reader = open_ok(source("top", {"middle", "base"}));
  ASSERT_TRUE(reader);
  EXPECT_EQ(byte_at(*reader, 0), 0);
  EXPECT_EQ(byte_at(*reader, 4096), 1);
  EXPECT_EQ(byte_at(*reader, 1 * kMiB), 2);
  EXPECT_EQ(byte_at(*reader, 2 * kMiB), 3);
  EXPECT_THAT(reader->note(), HasSubstr("read through 2 backing files"));
}

TEST_F(QemuImages, ABackingFileThatNobodyNamesIsNotRead) {
  create("base");
  create("middle", {"-b", "base", "-F", "qcow2"}, "");
  create("top", {"-b", "middle", "-F", "qcow2"}, "");
  const Error none = error_of(source("top"));
  EXPECT_EQ(none.code, ErrorCode::backing_file_not_named);
  EXPECT_THAT(none.resolution, HasSubstr("backing: [" + at("middle") + "]"));
  const Error second = error_of(source("top", {"middle"}));
  EXPECT_EQ(second.code, ErrorCode::backing_file_not_named);
  EXPECT_THAT(second.resolution, HasSubstr("backing: [" + at("middle") + ", " + at("base") + "]"));
  EXPECT_EQ(error_of(source("top", {"base", "middle"})).code, ErrorCode::backing_file_not_named);
}

TEST_F(QemuImages, WhatIsMissingOrGoesRoundIsSaid) {
  create("base");
  create("top", {"-b", "base", "-F", "qcow2"}, "");
  create("a");
  create("b", {"-b", "a", "-F", "qcow2"}, "");
  must({"qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "b", "-F", "qcow2", at("a")});
  EXPECT_EQ(error_of(source("a", {"b", "a", "b", "a"})).code, ErrorCode::image_chain_loop);
  ASSERT_EQ(::unlink(at("base").c_str()), 0);
  const Error missing = error_of(source("top", {"base"}));
  EXPECT_EQ(missing.code, ErrorCode::backing_file_missing);
  EXPECT_THAT(missing.message(), HasSubstr(at("base")));
}

TEST_F(QemuImages, ABackingFileWhoseFormatNobodySaysIsNotGuessed) {
  create("base");
  create("top", {"-b", "base", "-F", "qcow2"}, "");
  // Old versions of QEMU made overlays without it.
  must({"qemu-img", "amend", "-f", "qcow2", "-o", "compat=0.10", at("top")});
  must({"python3", "-c",
        "import sys; p=sys.argv[1]; b=open(p,'rb').read(); i=b.index(b'\\xe2\\x79\\x2a\\xca'); "
        "open(p,'wb').write(b[:i]+b'\\0\\0\\0\\1'+b[i+4:])",
        at("top")});
  const Error error = error_of(source("top", {"base"}));
  EXPECT_EQ(error.code, ErrorCode::backing_file_not_named);
  EXPECT_THAT(error.message(), HasSubstr("which format"));
  DiskSource said = source("top", {"base"});
  said.backing[0].format = DiskFormat::qcow2;
  EXPECT_TRUE(open_ok(said));
}

TEST_F(QemuImages, AnExternalDataFileIsReadWhenItIsNamed) {
  create("top", {"-o", "data_file=" + at("data")});
  write("top", "-P 7 1M 64k");
  const Error error = error_of(source("top"));
  EXPECT_EQ(error.code, ErrorCode::backing_file_not_named);
  EXPECT_THAT(error.resolution, HasSubstr("data_file: " + at("data")));
  DiskSource named = source("top");
  named.data_file = at("data");
  const auto reader = open_ok(named);
  ASSERT_TRUE(reader);
  EXPECT_EQ(byte_at(*reader, 1 * kMiB), 7);
}

// What a guest's or a stranger's header can name is never served.
TEST_F(QemuImages, AHeaderThatNamesAFileOfTheHostServesNothingOfIt) {
  write_at(at("secret"), 0, Buffer(8 * kMiB, 0x53));
  create("overlay", {"-u", "-b", at("secret"), "-F", "raw"});
  EXPECT_EQ(error_of(source("overlay")).code, ErrorCode::backing_file_not_named);
  DiskSource raw = source("overlay");
  raw.format = DiskFormat::raw;
  const auto reader = open_ok(raw);
  ASSERT_TRUE(reader);
  EXPECT_EQ(byte_at(*reader, 0), 'Q');
  // The same in the extent list of a VMDK.
  std::ofstream(at("flat.vmdk"))
      << "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
      << "RW 16384 FLAT \"" << at("secret") << "\" 0\n";
  DiskSource vmdk{std::filesystem::path(at("flat.vmdk"))};
  vmdk.format = DiskFormat::vmdk;
  const Error refused = error_of(vmdk);
  EXPECT_EQ(refused.code, ErrorCode::image_not_opened);
  EXPECT_THAT(refused.message(), HasSubstr("Permission denied"));
}

TEST_F(QemuImages, AnImageOfAnotherFormatIsNotGuessed) {
  create("image");
  DiskSource vdi = source("image");
  vdi.format = DiskFormat::vdi;
  const Error error = error_of(vdi);
  EXPECT_EQ(error.code, ErrorCode::image_not_opened);
  EXPECT_THAT(error.message(), AllOf(HasSubstr("as vdi"), Not(HasSubstr("json:"))));
}

TEST_F(QemuImages, AnEncryptedImageIsNotReadAsItsGuestSeesIt) {
  create("luks",
         {"--object", "secret,id=s,data=abc", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"});
  EXPECT_EQ(error_of(source("luks")).code, ErrorCode::image_encrypted);
}

TEST_F(QemuImages, AnImageThatIsCutOffHasAFinding) {
  create("image");
  write("image", "-P 1 0 4M");
  std::filesystem::resize_file(at("image"), 2 * kMiB);
  const auto reader = open_ok(source("image"));
  ASSERT_TRUE(reader);
  EXPECT_EQ(byte_at(*reader, 3 * kMiB), 0) << "QEMU reads zeros, and only the finding tells";
  const auto findings = reader->findings();
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].code, ErrorCode::image_damaged);
  EXPECT_THAT(findings[0].message(), HasSubstr("corruptions"));
}

TEST_F(QemuImages, SnapshotsInsideAndADirtyFlagAreSaid) {
  create("image", {"-o", "lazy_refcounts=on"});
  must({"qemu-img", "snapshot", "-c", "one", at("image")});
  // The dirty bit: the first of the incompatible features.
  write_at(at("image"), 79, Buffer{1});
  const auto reader = open_ok(source("image"));
  ASSERT_TRUE(reader);
  EXPECT_THAT(reader->note(), HasSubstr("internal snapshots (1)"));
  EXPECT_THAT(reader->note(), HasSubstr("not closed properly"));
}

TEST_F(QemuImages, AReaderStopsNobodyFromWriting) {
  create("image");
  const auto reader = open_ok(source("image"));
  ASSERT_TRUE(reader);
  write("image", "-P 5 0 64k");
  const auto change = reader->changed_underneath();
  ASSERT_TRUE(change && *change);
  EXPECT_EQ((*change)->kind, ImageChange::Kind::torn);
  EXPECT_THAT(reader->findings(), IsEmpty()) << "what is written to is not checked";
}

TEST_F(QemuImages, AnImageThatIsInUseIsReadAndItIsSaid) {
  create("image");
  const UniqueFd other(::open(at("image").c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = 201;
  lock.l_len = 1;
  ASSERT_EQ(::fcntl(other.get(), F_OFD_SETLK, &lock), 0);
  const auto reader = open_ok(source("image"));
  ASSERT_TRUE(reader);
  EXPECT_THAT(reader->note(), HasSubstr("has it in use"));
}

TEST_F(QemuImages, NothingIsLeftOfAReader) {
  create("image");
  const auto before = children();
  {
    const auto reader = open_ok(source("image"));
    ASSERT_TRUE(reader);
    EXPECT_THAT(children(), SizeIs(before.size() + 1));
  }
  EXPECT_EQ(children(), before);
}

TEST_F(QemuImages, AServerThatIsKilledIsSaid) {
  create("image");
  write("image", "-P 5 0 4M");
  const auto before = children();
  const auto reader = open_ok(source("image"));
  ASSERT_TRUE(reader);
  for (const pid_t child : children())
    if (std::ranges::find(before, child) == before.end()) ::kill(child, SIGKILL);
  Buffer bytes(4 * kMiB);
  const auto done = reader->read(0, bytes);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::nbd_server_failed);
}

TEST_F(QemuImages, TheToolsCanOpenNothingButWhatTheyAreGiven) {
  write_at(at("given"), 0, Buffer(3, 'x'));
  write_at(at("other"), 0, Buffer(3, 'x'));
  const UniqueFd given(::open(at("given").c_str(), O_RDONLY | O_CLOEXEC));
  const auto try_it = [&](const std::string& tool, const std::vector<std::string>& words) {
    auto process = ConfinedProcess::start({tool, words, {given.get()}}, "try", "it");
    EXPECT_TRUE(process) << process.error().message();
    EXPECT_EQ(process->not_confined(), "");
    const auto status = process->finish(std::chrono::seconds(20));
    EXPECT_TRUE(status);
    return std::pair(status ? *status : -1, process->output() + process->last_words());
  };
  EXPECT_EQ(try_it("cat", {given_file(0)}), std::pair(0, std::string("xxx")));
  for (const std::string& path : {at("other"), std::string("/etc/passwd"), std::string("/proc/self/environ")})
    EXPECT_THAT(try_it("cat", {path}).second, HasSubstr("Permission denied")) << path;
  EXPECT_THAT(try_it("touch", {at("new")}).second, HasSubstr("Permission denied"));
  EXPECT_THAT(try_it("dd", {"if=/dev/null", "of=" + given_file(0)}).second, HasSubstr("Permission denied"));
  EXPECT_EQ(try_it("env", {}).second.find("HOME"), std::string::npos);
  EXPECT_EQ(try_it("grep", {"-c", "XXX", "/usr/lib/os-release"}).first, 1);
  EXPECT_FALSE(std::filesystem::exists(at("new")));
}

TEST_F(QemuImages, AToolThatDoesNotEndIsEnded) {
  auto process = ConfinedProcess::start({"sleep", {"600"}}, "try", "it");
  ASSERT_TRUE(process);
  const auto status = process->finish(std::chrono::milliseconds(100));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message(), HasSubstr("did not end"));
  const auto missing = ConfinedProcess::start({"no-such-tool-of-qemu", {}}, "try", "it");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::image_tool_missing);
}

class QemuImagesOnXfs : public QemuImages {
 protected:
  void SetUp() override {
    QemuImages::SetUp();
    if (::testing::Test::IsSkipped()) return;
    if (!is_root()) GTEST_SKIP() << "needs root to mount";
    mounted_ = std::make_unique<MountedFileSystem>(box_ / "xfs.img", 400 * kMiB,
                                                   std::vector<std::string>{"mkfs.xfs", "-q", "-f", "-m", "reflink=1"},
                                                   box_ / "mnt");
    if (!mounted_->ok()) GTEST_SKIP() << mounted_->reason();
  }
  std::unique_ptr<MountedFileSystem> mounted_;
};

TEST_F(QemuImagesOnXfs, ACloneOfTheWholeChainIsReadWhateverIsWrittenMeanwhile) {
  create("mnt/base");
  write("mnt/base", "-P 1 0 1M");
  create("mnt/top", {"-b", "base", "-F", "qcow2"}, "");
  write("mnt/top", "-P 2 2M 1M");
  const auto reader = open_ok(source("mnt/top", {"mnt/base"}), CloneMode::try_clone);
  ASSERT_TRUE(reader);
  EXPECT_TRUE(reader->is_snapshot());
  EXPECT_EQ(reader->how(), "qcow2 in a reflink clone");
  write("mnt/top", "-P 9 2M 1M");
  write("mnt/top", "-P 9 0 1M");
  EXPECT_EQ(byte_at(*reader, 2 * kMiB), 2);
  EXPECT_EQ(byte_at(*reader, 0), 1);
  const auto change = reader->changed_underneath();
  ASSERT_TRUE(change);
  EXPECT_FALSE(*change);
  EXPECT_THAT(reader->findings(), IsEmpty());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(box_ / "mnt"), {}), 2) << "no name is left behind";
}

}  // namespace
}  // namespace cairn::testing
