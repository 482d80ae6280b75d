// SPDX-License-Identifier: GPL-3.0-or-later
// Nothing below a Folder is reached through a link, and only regular files are opened: with openat2(2), and where a
// container's filter forbids it.
#include "fs/file/folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <fstream>

#include "config/base/open_beneath.h"
#include "fs/file/walk_path.h"
#include "fs/io/local_backend.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A folder "inside", and beside it "outside", which nothing may reach.
class Place {
 public:
  Place() {
    fs::create_directories(inside() / "sub");
    fs::create_directory(outside());
    std::ofstream(outside() / "canary") << "canary";
    std::ofstream(inside() / "sub" / "file") << "text";
    std::ofstream(inside() / "file") << "text";
    fs::create_symlink(outside() / "canary", inside() / "link");
    fs::create_directory_symlink(outside(), inside() / "folder-link");
    fs::create_symlink("file", inside() / "near-link");
    fs::create_symlink("nowhere", inside() / "dangling");
    EXPECT_EQ(::mkfifo((inside() / "pipe").c_str(), 0600), 0);
    fs::current_path(inside());  // a socket's path must be short
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = "socket"};
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    fs::current_path("/");
    has_device_ = ::mknod((inside() / "device").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0;
  }
  [[nodiscard]] fs::path inside() const { return directory_.path() / "inside"; }
  [[nodiscard]] fs::path outside() const { return directory_.path() / "outside"; }
  [[nodiscard]] bool has_device() const { return has_device_; }
  [[nodiscard]] Folder folder() const { return value_of(Folder::open(inside())); }
  void expect_outside_untouched() const {
    EXPECT_EQ(fs::file_size(outside() / "canary"), 6U);
    EXPECT_EQ(std::distance(fs::directory_iterator(outside()), {}), 1);
  }

 private:
  TemporaryDirectory directory_;
  bool has_device_ = false;
};

using OpenBeneath = int (*)(int, const char*, int, mode_t);
class OpeningBeneath : public ::testing::TestWithParam<OpenBeneath> {
 protected:
  // 0, or the errno.
  int outcome(const char* name, int flags) {
    const UniqueFd fd(GetParam()(folder_.fd(), name, flags, 0600));
    return fd ? 0 : errno;
  }
  Place place_;
  Folder folder_ = place_.folder();
};

TEST_P(OpeningBeneath, OpensWhatLiesBelow) {
  EXPECT_EQ(outcome("file", O_RDONLY), 0);
  EXPECT_EQ(outcome("sub/file", O_RDWR), 0);
  EXPECT_EQ(outcome("sub//file", O_RDONLY), 0);
  EXPECT_EQ(outcome("sub/", O_PATH | O_DIRECTORY), 0);
  EXPECT_EQ(outcome(".", O_RDONLY | O_DIRECTORY), 0);
  EXPECT_EQ(outcome("sub/new", O_RDWR | O_CREAT | O_EXCL), 0);
  EXPECT_EQ(outcome("sub/new", O_RDWR | O_CREAT | O_EXCL), EEXIST);
  EXPECT_EQ(outcome("none", O_RDONLY), ENOENT);
  EXPECT_EQ(outcome("none/file", O_RDONLY), ENOENT);
  EXPECT_EQ(outcome("file/none", O_RDONLY), ENOTDIR);
}

TEST_P(OpeningBeneath, FollowsNoLink) {
  for (const char* name : {"link", "near-link", "dangling", "folder-link", "folder-link/canary", "folder-link/new"})
    for (const int flags : {O_RDONLY, O_RDWR, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_TRUNC, O_PATH})
      EXPECT_EQ(outcome(name, flags), ELOOP) << name << " " << flags;
  EXPECT_EQ(outcome("folder-link", O_PATH | O_DIRECTORY), ELOOP);
  EXPECT_EQ(outcome("link", O_PATH | O_NOFOLLOW), 0) << "the link itself";
  EXPECT_EQ(outcome("link", O_RDWR | O_CREAT | O_EXCL), EEXIST);
  place_.expect_outside_untouched();
}

TEST_P(OpeningBeneath, LeadsOutByNoName) {
  EXPECT_EQ(outcome("../outside/canary", O_RDONLY), EXDEV);
  EXPECT_EQ(outcome("sub/..", O_PATH), EXDEV);
  EXPECT_EQ(outcome("sub/../../outside/new", O_RDWR | O_CREAT), EXDEV);
  EXPECT_EQ(outcome((place_.outside() / "canary").c_str(), O_RDONLY), EXDEV);
  EXPECT_EQ(outcome("..file", O_RDONLY), ENOENT);
  place_.expect_outside_untouched();
}

TEST_P(OpeningBeneath, WaitsForNobody) {
  EXPECT_EQ(outcome("pipe", O_RDONLY), 0) << "the caller sees that it is one";
  EXPECT_EQ(outcome("pipe", O_WRONLY), ENXIO);
  EXPECT_EQ(outcome("socket", O_RDONLY), ENXIO);
}

INSTANTIATE_TEST_SUITE_P(Ways, OpeningBeneath, ::testing::Values(&open_beneath, &open_stepwise),
                         [](const auto& which) { return which.index == 0 ? "AtOnce" : "Stepwise"; });

TEST(Folder, SaysWhatIsInTheWay) {
  const Place place;
  const Folder folder = place.folder();
  const auto because = [&](const char* name, int access) {
    const auto opened = folder.open_file(name, access);
    if (opened) return std::string("opened");
    return std::string(opened.error().name()) + " " + fs::path(opened.error().object).filename().string() + ": " +
           opened.error().because;
  };
  for (const int access : {O_RDONLY, O_RDWR, O_RDWR | O_CREAT}) {
    EXPECT_EQ(because("file", access), "opened");
    EXPECT_EQ(because("link", access), "wrong-file-type link: it is a symbolic link, not a file");
    EXPECT_EQ(because("folder-link/canary", access),
              "wrong-file-type folder-link: it is a symbolic link, not a folder");
    EXPECT_EQ(because("pipe", access), "wrong-file-type pipe: it is a pipe, not a file");
    EXPECT_EQ(because("socket", access), "wrong-file-type socket: it is a socket, not a file");
    EXPECT_EQ(because("sub", access), "wrong-file-type sub: it is a folder, not a file");
    if (place.has_device()) {
      EXPECT_EQ(because("device", access), "wrong-file-type device: it is a device, not a file");
    }
  }
  EXPECT_EQ(folder.open_file("none", O_RDONLY).error().code, ErrorCode::object_missing);
  EXPECT_EQ(folder.folder("folder-link").error().because, "it is a symbolic link, not a folder");
  EXPECT_EQ(folder.folder("file").error().because, "it is a file, not a folder");
  EXPECT_EQ(folder.make_folder("folder-link/new").error().code, ErrorCode::wrong_file_type);
  place.expect_outside_untouched();
}

TEST(Folder, RenamesAndReplacesNamesAndNotWhatTheyLeadTo) {
  const Place place;
  const Folder folder = place.folder();
  EXPECT_EQ(folder.rename("file", folder, "link", IfExists::fail).error().code, ErrorCode::object_exists);
  expect_ok(folder.rename("file", folder, "link", IfExists::replace));
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(place.inside() / "link")));
  expect_ok(folder.exchange("folder-link", "sub"));
  EXPECT_TRUE(fs::is_symlink(place.inside() / "sub"));
  place.expect_outside_untouched();
}

TEST(Folder, RemovesATreeAndNothingThatItsLinksLeadTo) {
  const Place place;
  const Folder folder = place.folder();
  ASSERT_TRUE(folder.make_folder("tree/below/more"));
  fs::create_directory_symlink(place.outside(), place.inside() / "tree" / "below" / "link");
  fs::create_hard_link(place.inside() / "pipe", place.inside() / "tree" / "pipe");
  expect_ok(folder.remove_all("tree"));
  EXPECT_FALSE(fs::exists(place.inside() / "tree"));
  expect_ok(folder.remove_all("folder-link"));
  EXPECT_FALSE(fs::exists(fs::symlink_status(place.inside() / "folder-link")));
  expect_ok(folder.remove_all("nothing"));
  place.expect_outside_untouched();
}

TEST(Folder, TreesThatAreTooDeepAreNotFollowedDown) {
  const Place place;
  fs::path deep = place.inside() / "deep";
  for (int i = 0; i < 40; ++i) deep /= "d";
  fs::create_directories(deep);
  EXPECT_EQ(place.folder().remove_all("deep").error().code, ErrorCode::wrong_file_type);
}

TEST(Folder, ListsLinksAndPipesAsNeitherFileNorFolder) {
  const Place place;
  const auto entries = value_of(place.folder().entries());
  std::vector<std::string> files;
  std::vector<std::string> folders;
  for (const auto& [name, kind] : entries) {
    if (kind == Folder::Entry::Kind::file) files.push_back(name);
    if (kind == Folder::Entry::Kind::folder) folders.push_back(name);
  }
  EXPECT_THAT(files, ElementsAre("file"));
  EXPECT_THAT(folders, ElementsAre("sub"));
}

TEST(WalkPath, FollowsOwnLinksAsTheSystemDoes) {
  const TemporaryDirectory place;
  fs::create_directories(place.path() / "a" / "b");
  fs::create_directory_symlink("a", place.path() / "relative");
  fs::create_directory_symlink(place.path() / "a" / "b", place.path() / "a" / "absolute");
  fs::create_directory_symlink("../relative/absolute/..", place.path() / "a" / "round");
  fs::create_directory_symlink("circle", place.path() / "circle");
  std::ofstream(place.path() / "file") << "text";
  for (const char* name : {"", "a", "relative", "relative/b", "relative/absolute", "a/round/b", "a/../relative//b/."}) {
    struct stat wanted{};
    struct stat found{};
    ASSERT_EQ(::stat((place.path() / name).c_str(), &wanted), 0) << name;
    ASSERT_EQ(::fstat(value_of(walk_path_by_own_links(place.path() / name)).get(), &found), 0);
    EXPECT_EQ(found.st_ino, wanted.st_ino) << name;
  }
  EXPECT_EQ(walk_path_by_own_links(place.path() / "circle").error().sys_errno, ELOOP);
  EXPECT_EQ(walk_path_by_own_links(place.path() / "none").error().code, ErrorCode::object_missing);
  EXPECT_EQ(walk_path_by_own_links(place.path() / "file" / "x").error().code, ErrorCode::wrong_file_type);
  struct stat facts{};
  ASSERT_EQ(::fstat(value_of(walk_to_file_by_own_links(place.path() / "a" / ".." / "file")).get(), &facts), 0);
  EXPECT_TRUE(S_ISREG(facts.st_mode));
  EXPECT_EQ(walk_path_by_own_links(place.path() / "file").error().code, ErrorCode::wrong_file_type);
  EXPECT_EQ(walk_to_file_by_own_links(place.path() / "file" / "x").error().code, ErrorCode::wrong_file_type);
  EXPECT_EQ(walk_path(place.path() / "file").error().code, ErrorCode::wrong_file_type);
}

// As filters of older container engines: the process gets `error` for openat2(2) from here on.
bool forbid_openat2(int error) {
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{.len = static_cast<unsigned short>(std::size(steps)), .filter = static_cast<sock_filter*>(steps)};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(Folder, WorksWhereOpenat2IsForbidden) {
  for (const int error : {ENOSYS, EPERM}) {
    const Place place;
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      if (!forbid_openat2(error)) ::_exit(77);
      const UniqueFd probe(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, "/", nullptr, 0)));
      if (probe || errno != error) ::_exit(1);
      LocalBackend backend(place.inside());
      if (!backend.put("packs/ab/abcd", as_bytes("text"), IfExists::fail)) ::_exit(2);
      const auto bytes = backend.get("packs/ab/abcd", 100);
      if (!bytes || as_text(*bytes) != "text") ::_exit(3);
      if (backend.open("link") || backend.open("folder-link/canary") || backend.open("pipe")) ::_exit(4);
      if (!backend.remove("packs/ab/abcd") || backend.put("folder-link/new", as_bytes("x"), IfExists::fail)) ::_exit(5);
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "no seccomp filter can be set here";
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << error << ": " << WEXITSTATUS(status);
    place.expect_outside_untouched();
  }
}

// --- a backend whose directory somebody else writes to
class HostileBackend : public ::testing::Test {
 protected:
  void put_folder_link(const char* name) {
    fs::remove_all(place_.inside() / name);
    fs::create_directory_symlink(place_.outside(), place_.inside() / name);
  }
  Place place_;
  LocalBackend backend_{place_.inside()};
};

TEST_F(HostileBackend, LinksInTheirPlacesAreNoObjects) {
  for (const char* name : {"link", "near-link", "pipe", "socket", "sub"}) {
    EXPECT_EQ(backend_.open(name).error().code, ErrorCode::object_missing) << name;
    EXPECT_EQ(backend_.hold(name).error().code, ErrorCode::object_missing) << name;
  }
  const auto folder_is_a_link = backend_.open("folder-link/canary");
  EXPECT_EQ(folder_is_a_link.error().code, ErrorCode::wrong_file_type) << "no sign of damage";
  EXPECT_THAT(folder_is_a_link.error().message(), HasSubstr("symbolic link"));
}

TEST_F(HostileBackend, EmptiesNoForeignFolder) {
  put_folder_link("tmp");
  EXPECT_EQ(backend_.remove_leftovers().error().code, ErrorCode::wrong_file_type);
  EXPECT_EQ(backend_.put("points/a", as_bytes("x"), IfExists::fail).error().code, ErrorCode::wrong_file_type);
  EXPECT_EQ(backend_.remove("tmp/canary").error().code, ErrorCode::wrong_file_type);
  place_.expect_outside_untouched();
}

TEST_F(HostileBackend, WritesAndListsNothingThroughAFolderThatIsALink) {
  put_folder_link("points");
  EXPECT_EQ(backend_.put("points/a", as_bytes("x"), IfExists::replace).error().code, ErrorCode::wrong_file_type);
  EXPECT_EQ(backend_.put("points/deep/a", as_bytes("x"), IfExists::replace).error().code, ErrorCode::wrong_file_type);
  EXPECT_EQ(backend_.list("points/").error().code, ErrorCode::wrong_file_type) << "not an empty list";
  EXPECT_EQ(backend_.change_token("points/").error().code, ErrorCode::wrong_file_type);
  EXPECT_EQ(backend_.settle("points/").error().code, ErrorCode::wrong_file_type);
  expect_ok(backend_.settle(""));
  place_.expect_outside_untouched();
}

TEST_F(HostileBackend, ListsOnlyFilesInFolders) {
  fs::create_directory(place_.inside() / "packs");
  fs::create_symlink(place_.outside() / "canary", place_.inside() / "packs" / "link");
  EXPECT_THAT(value_of(backend_.list("packs/")), IsEmpty());
  // In silence, all packs below it would seem lost.
  put_folder_link("packs/ab");
  EXPECT_EQ(backend_.list("packs/").error().code, ErrorCode::wrong_file_type);
}

TEST_F(HostileBackend, AWriteReplacesALinkAndNotWhatItLeadsTo) {
  expect_ok(backend_.put("link", as_bytes("x"), IfExists::replace));
  EXPECT_EQ(backend_.get("link", 10).value(), Buffer({'x'}));
  place_.expect_outside_untouched();
}

TEST_F(HostileBackend, AWriteThatCannotReplaceSaysWhatIsThere) {
  for (const char* name : {"link", "pipe", "sub"}) {
    const auto refused = backend_.put(name, as_bytes("x"), IfExists::fail);
    EXPECT_EQ(refused.error().code, ErrorCode::wrong_file_type) << name;
  }
  EXPECT_EQ(backend_.put("sub", as_bytes("x"), IfExists::replace).error().code, ErrorCode::wrong_file_type);
  EXPECT_EQ(backend_.put("file", as_bytes("x"), IfExists::fail).error().code, ErrorCode::object_exists);
}

TEST_F(HostileBackend, TheDirectoryItselfMayBeALinkAndMayBeReplaced) {
  const TemporaryDirectory elsewhere;
  fs::create_directory_symlink(place_.inside(), elsewhere.path() / "store");
  LocalBackend backend(elsewhere.path() / "store");
  EXPECT_EQ(backend.get("file", 10).value(), Buffer({'t', 'e', 'x', 't'}));
  fs::remove(elsewhere.path() / "store");
  EXPECT_EQ(backend.open("file").error().code, ErrorCode::object_missing);
  EXPECT_THAT(value_of(backend.list("points/")), IsEmpty());
  fs::create_directory(elsewhere.path() / "store");
  expect_ok(backend.put("file", as_bytes("new"), IfExists::fail));
  EXPECT_EQ(backend.get("file", 10).value(), Buffer({'n', 'e', 'w'}));
}

}  // namespace
}  // namespace cairn
