// SPDX-License-Identifier: GPL-3.0-or-later
// A local vault when the machine or the process dies, or a system call fails, at any point of a change: the old or the
// new vault is there, whole, and the audit log says which.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "crypto/vault/local/vault_session.h"
#include "tests/crypto/vault/vault_place.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

// Counts the calls that change something, and does something else at one of them.
class Interrupted final : public VaultSystem {
 public:
  enum class How {
    killed_before,   // the process dies, the call has not happened
    killed_halfway,  // a write is half done
    killed_after,    // it happened and nobody knows
    fails,           // this call fails; later ones work again
    fails_from_now   // this one and all after it
  };
  Interrupted(int at, How how) : at_(at), how_(how) {}
  [[nodiscard]] int calls() const { return calls_; }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

  int make_directory(const char* path) override {
    return at_call("mkdir", [&] { return VaultSystem::make_directory(path); });
  }
  int remove_directory(const char* path) override {
    return at_call("rmdir", [&] { return VaultSystem::remove_directory(path); });
  }
  int open_at(int directory, const char* name, int flags) override {
    if ((flags & O_CREAT) == 0) return VaultSystem::open_at(directory, name, flags);
    return at_call(std::string("create ") + name, [&] { return VaultSystem::open_at(directory, name, flags); });
  }
  ssize_t write(int file, ByteView bytes) override {
    if (calls_ == at_ && how_ == How::killed_halfway)
      static_cast<void>(VaultSystem::write(file, bytes.first(bytes.size() / 2)) < 0);
    return at_call("write", [&] { return VaultSystem::write(file, bytes); });
  }
  int sync(int file) override {
    return at_call("sync", [&] { return VaultSystem::sync(file); });
  }
  int truncate(int file, off_t size) override {
    return at_call("truncate", [&] { return VaultSystem::truncate(file, size); });
  }
  int rename_at(int directory, const char* from, const char* to) override {
    return at_call(std::string("rename ") + to, [&] { return VaultSystem::rename_at(directory, from, to); });
  }
  int unlink_at(int directory, const char* name) override {
    return at_call(std::string("unlink ") + name, [&] { return VaultSystem::unlink_at(directory, name); });
  }

 private:
  template <class Call>
  auto at_call(const std::string& name, Call call) -> decltype(call()) {
    const int number = calls_++;
    names_.push_back(name);
    if (number == at_ && how_ == How::killed_after) static_cast<void>(call());
    if (number == at_ && how_ != How::fails && how_ != How::fails_from_now) ::raise(SIGKILL);
    if (number == at_ || (number > at_ && how_ == How::fails_from_now && at_ >= 0)) {
      errno = EIO;
      return -1;
    }
    return call();
  }

  int at_;
  How how_;
  int calls_ = 0;
  std::vector<std::string> names_;
};

constexpr auto kAllHows = {Interrupted::How::killed_before, Interrupted::How::killed_halfway,
                           Interrupted::How::killed_after, Interrupted::How::fails, Interrupted::How::fails_from_now};

bool kills(Interrupted::How how) {
  return how != Interrupted::How::fails && how != Interrupted::How::fails_from_now;
}

// Runs `work` in a process of its own when it is going to be killed. True: it said that it was done.
template <class Work>
bool run_interrupted(Interrupted::How how, Work work) {
  if (!kills(how)) return work();
  const pid_t pid = ::fork();
  EXPECT_GE(pid, 0);
  if (pid == 0) ::_exit(work() ? 0 : 1);
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// What the vault and its log say now: 1 or 2 keys. Both must be sound.
std::size_t keys_now(const VaultPlace& place) {
  const auto vault = place.try_open();
  EXPECT_TRUE(vault) << vault.error().message();
  if (!vault) return 0;
  const auto keks = (*vault)->list_keks();
  EXPECT_TRUE(keks) << keks.error().message();
  const auto entries = (*vault)->audit(1000);
  EXPECT_TRUE(entries) << entries.error().message();
  if (!keks || !entries) return 0;
  // What the log says: a change that is done, and not undone afterwards, is in the vault.
  bool second = false;
  for (const AuditEntry& entry : *entries) {
    if (entry.operation == "keys:create" && entry.object == "second 1" && entry.outcome == "done") second = true;
    if (entry.operation == "vault:undone") second = false;
  }
  EXPECT_EQ(keks->size(), second ? 2U : 1U);
  EXPECT_TRUE((*vault)->wrap("backup", test_key()));
  return keks->size();
}

bool create_second(const VaultPlace& place, VaultSystem& system) {
  const auto vault = place.try_open("admin", system);
  return vault && (*vault)->create_kek("second", KekType::x25519);
}

void fill(const VaultPlace& place) {
  place.create();
  ASSERT_TRUE(place.open()->create_kek("backup", KekType::x25519));
}

int calls_of_a_change() {
  const VaultPlace place;
  fill(place);
  Interrupted counting(-1, Interrupted::How::fails);
  EXPECT_TRUE(create_second(place, counting));
  return counting.calls();
}

TEST(VaultCrash, EveryInterruptedChangeLeavesTheOldOrTheNewVault) {
  const int calls = calls_of_a_change();
  ASSERT_GE(calls, 8);
  for (const auto how : kAllHows) {
    bool saw_old = false, saw_new = false;
    for (int at = 0; at < calls; ++at) {
      SCOPED_TRACE(::testing::Message() << "how " << static_cast<int>(how) << ", call " << at);
      const VaultPlace place;
      fill(place);
      const bool done = run_interrupted(how, [&] {
        Interrupted system(at, how);
        return create_second(place, system);
      });
      const std::size_t keys = keys_now(place);
      if (done) {
        EXPECT_EQ(keys, 2U);
      }
      (keys == 2 ? saw_new : saw_old) = true;
      // And it goes on.
      const auto vault = place.open();
      if (keys == 1) {
        EXPECT_TRUE(vault->create_kek("second", KekType::x25519));
      }
      EXPECT_TRUE(vault->rotate_kek("second"));
      if (::testing::Test::HasFailure()) return;
    }
    EXPECT_TRUE(saw_old);
    EXPECT_TRUE(saw_new);
  }
}

// What failed changed nothing, but for the one call that cannot be taken back: when the directory is synced after the
// rename.
TEST(VaultCrash, ACallThatFailsHasChangedNothing) {
  const int calls = calls_of_a_change();
  int changed_all_the_same = 0;
  for (int at = 0; at < calls; ++at) {
    SCOPED_TRACE(at);
    const VaultPlace place;
    fill(place);
    Interrupted system(at, Interrupted::How::fails);
    const bool done = create_second(place, system);
    if (!done && keys_now(place) == 2) {
      ++changed_all_the_same;
      EXPECT_EQ(system.names().at(static_cast<std::size_t>(at)), "sync");
      EXPECT_EQ(system.names().at(static_cast<std::size_t>(at) - 1), "rename vault");
    }
  }
  EXPECT_EQ(changed_all_the_same, 1);
}

// Nothing is renamed to its place before it is synced, and the entry is durable before the change is.
TEST(VaultCrash, TheOrderOfWritingIsTheDocumentsOrder) {
  const VaultPlace place;
  fill(place);
  Interrupted system(-1, Interrupted::How::fails);
  ASSERT_TRUE(create_second(place, system));
  EXPECT_THAT(system.names(), ::testing::ElementsAre("create lock", "unlink vault.tmp", "create vault.tmp", "write",
                                                     "sync", "write", "sync", "rename vault", "sync"));
}

TEST(VaultCrash, ReadsAreNeverHalf) {
  // A reader beside a writer, without the lock: each file is the one before or the one after.
  const VaultPlace place;
  fill(place);
  const pid_t writer = ::fork();
  ASSERT_GE(writer, 0);
  if (writer == 0) {
    const auto vault = place.open();
    for (int i = 0; i < 60; ++i) static_cast<void>(vault->set_secret("s", some_bek()).has_value());
    ::_exit(0);
  }
  const auto reader = place.open();
  int looks = 0;
  int status = 0;
  while (::waitpid(writer, &status, WNOHANG) == 0) {
    const auto missing = reader->missing_rights(all_rights());
    ASSERT_TRUE(missing) << missing.error().message();
    EXPECT_TRUE(missing->empty());
    ++looks;
  }
  EXPECT_EQ(status, 0);
  EXPECT_GT(looks, 0);
  EXPECT_EQ(reader->get_secret("s").value().version, "60");
}

TEST(VaultCrash, AnInterruptedCreationCanBeRepeatedOrIsAVault) {
  int calls = 0;
  {
    const VaultPlace place;
    Interrupted counting(-1, Interrupted::How::fails);
    ASSERT_TRUE(place.try_create(counting));
    calls = counting.calls();
  }
  ASSERT_GE(calls, 12);
  for (const auto how : kAllHows) {
    for (int at = 0; at < calls; ++at) {
      SCOPED_TRACE(::testing::Message() << "how " << static_cast<int>(how) << ", call " << at);
      const VaultPlace place;
      const bool done = run_interrupted(how, [&] {
        Interrupted system(at, how);
        return place.try_create(system).has_value();
      });
      // What failed in a process that lives leaves nothing.
      if (how == Interrupted::How::fails && !done) {
        EXPECT_FALSE(fs::exists(place.path()));
      }
      const auto again = place.try_create();
      if (done) {
        EXPECT_EQ(again.error().code, ErrorCode::vault_exists);
      }
      if (!again) {
        EXPECT_EQ(again.error().code, ErrorCode::vault_exists) << again.error().message();
      }
      const auto vault = place.try_open();
      ASSERT_TRUE(vault) << vault.error().message();
      EXPECT_TRUE((*vault)->create_kek("backup", KekType::x25519));
      EXPECT_TRUE((*vault)->audit(10));
    }
  }
}

}  // namespace
}  // namespace cairn
