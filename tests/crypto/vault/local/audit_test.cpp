// SPDX-License-Identifier: GPL-3.0-or-later
// The audit log: every call has its entry, and nobody without the vault's key can change the log unnoticed.
#include "crypto/vault/local/audit_log.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/crypto/vault/vault_place.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::vector<std::string> lines_of(const fs::path& log) {
  const Buffer bytes = content_of(log);
  std::vector<std::string> lines;
  std::string_view text = as_text(bytes);
  for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    lines.emplace_back(text.substr(0, end + 1));
    text.remove_prefix(end + 1);
  }
  return lines;
}
void put_lines(const fs::path& log, const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line;
  put_content(log, as_bytes(text));
}
std::string text_of(const AuditEntry& entry) {
  return entry.principal + " " + entry.operation + " " + entry.object + " " + entry.outcome;
}

class Audit : public ::testing::Test {
 protected:
  void SetUp() override {
    place_.create();
    admin_ = place_.open();
    ASSERT_TRUE(admin_->create_kek("backup", KekType::x25519));
    wrapped_ = admin_->wrap("backup", test_key()).value();
    ASSERT_TRUE(admin_->list_keks());
    ASSERT_TRUE(admin_->list_secrets());
    // Now: init, create (the vault knows of these), wrap, list, list.
  }
  // What a process that has not seen the log before gets.
  ErrorCode outcome() {
    const auto listed = place_.open()->list_keks();
    return listed ? ErrorCode::unknown_error_name : listed.error().code;
  }

  VaultPlace place_;
  std::unique_ptr<LocalVault> admin_;
  Wrapped wrapped_;
};

TEST_F(Audit, HasEveryCallDoneRefusedOrFailed) {
  const auto service = place_.open("cairn-backup");
  ASSERT_TRUE(service->unwrap("backup", wrapped_));
  ASSERT_FALSE(service->create_kek("other", KekType::x25519));
  ASSERT_FALSE(service->get_secret("web-01-root"));
  ASSERT_TRUE(admin_->grant("cairn-backup", {Right::keys_wrap}));
  ASSERT_TRUE(admin_->set_secret("web-01-root", some_bek()));
  ASSERT_TRUE(place_.open("restorer") != nullptr);
  const auto entries = admin_->audit(100);
  ASSERT_TRUE(entries) << entries.error().message();
  std::vector<std::string> all;
  for (const AuditEntry& entry : *entries) all.push_back(text_of(entry));
  EXPECT_THAT(all, ElementsAre("admin vault:init vault done", "admin keys:create backup 1 done",
                               "admin keys:wrap backup 1 done", "admin keys:list keys done",
                               "admin secrets:list secrets done", "cairn-backup keys:unwrap backup 1 done",
                               "cairn-backup keys:create other refused", "cairn-backup secrets:get web-01-root failed",
                               "admin policy:set cairn-backup done", "admin secrets:set web-01-root 1 done"));
  for (std::size_t i = 0; i < entries->size(); ++i) {
    EXPECT_EQ(entries->at(i).number, i + 1);
    EXPECT_EQ(entries->at(i).pid, ::getpid());
    EXPECT_EQ(entries->at(i).time, StoppedClock().now());
  }
  EXPECT_EQ(entries->at(7).detail.substr(0, 15), "secret-missing:");
  EXPECT_EQ(entries->at(8).detail, "grant keys:wrap");
  // The last ones, oldest first; asking has an entry too.
  const auto last = admin_->audit(2);
  ASSERT_TRUE(last);
  ASSERT_EQ(last->size(), 2U);
  EXPECT_EQ(text_of(last->front()), "admin secrets:set web-01-root 1 done");
  EXPECT_EQ(text_of(last->back()), "admin policy:get audit.log done");
  EXPECT_TRUE(admin_->audit(0).value().empty());
}

TEST_F(Audit, HoldsNoSecrets) {
  const Buffer log = content_of(place_.log());
  EXPECT_EQ(as_text(log).find(as_text(test_key().reveal().subspan(8))), std::string_view::npos);
}

TEST_F(Audit, LongAndHostileTextsStayOneLine) {
  const SecretBytes key = SecretBytes::random(32);
  AuditEntry entry;
  entry.number = 1;
  entry.principal = "a\nb";
  entry.object = std::string(5000, 'x') + "\n\",\"mac\":\"";
  entry.detail = "\xff\x01\"}\n" + std::string(500, '\xc3');
  Buffer mac;
  const std::string line = write_audit_line(entry, Buffer(32), key, mac);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  AuditReader reader(key, {}, "it");
  ASSERT_TRUE(reader.next(std::string_view(line).substr(0, line.size() - 1)));
  EXPECT_EQ(reader.state().last.mac, mac);
  EXPECT_EQ(parse_audit_line(line, "it").value().principal, "a\nb");
}

TEST_F(Audit, EveryByteThatIsChangedIsNoticed) {
  const Buffer good = content_of(place_.log());
  for (std::size_t at = 0; at < good.size(); ++at) {
    SCOPED_TRACE(at);
    Buffer altered = good;
    altered[at] ^= 1U;
    put_content(place_.log(), altered);
    // The newline at the very end: the last entry is as if torn, and it came after the vault's mark.
    if (at + 1 == good.size())
      EXPECT_EQ(outcome(), ErrorCode::unknown_error_name);
    else
      ASSERT_EQ(outcome(), ErrorCode::audit_damaged);
  }
  put_content(place_.log(), good);
  EXPECT_EQ(outcome(), ErrorCode::unknown_error_name);
}

TEST_F(Audit, RemovedSwappedAddedAndRepeatedLinesAreNoticed) {
  const std::vector<std::string> good = lines_of(place_.log());
  ASSERT_EQ(good.size(), 5U);
  for (std::size_t i = 0; i + 1 < good.size(); ++i) {
    SCOPED_TRACE(i);
    std::vector<std::string> lines = good;
    lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(i));
    put_lines(place_.log(), lines);
    EXPECT_EQ(outcome(), ErrorCode::audit_damaged);
    lines = good;
    std::swap(lines[i], lines[i + 1]);
    put_lines(place_.log(), lines);
    EXPECT_EQ(outcome(), ErrorCode::audit_damaged);
    lines = good;
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(i), good[i]);
    put_lines(place_.log(), lines);
    EXPECT_EQ(outcome(), ErrorCode::audit_damaged);
  }
  std::vector<std::string> more = good;
  more.push_back(good.back());
  put_lines(place_.log(), more);
  EXPECT_EQ(outcome(), ErrorCode::audit_damaged);
  more.back() = "{\"number\":6}\n";
  put_lines(place_.log(), more);
  EXPECT_EQ(outcome(), ErrorCode::audit_damaged);
  put_lines(place_.log(), good);
  EXPECT_EQ(outcome(), ErrorCode::unknown_error_name);
}

TEST_F(Audit, CuttingOffWhatTheVaultKnowsOfIsNoticed) {
  const std::vector<std::string> good = lines_of(place_.log());
  put_lines(place_.log(), {});
  EXPECT_EQ(outcome(), ErrorCode::audit_damaged);
  put_lines(place_.log(), {good[0]});  // the vault was last written with the second entry
  const auto refused = place_.open()->list_keks();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::audit_damaged);
  EXPECT_THAT(refused.error().message(), HasSubstr("it ends at entry 1, and the vault knows of 2"));
  EXPECT_EQ(place_.open()->create_kek("x", KekType::x25519).error().code, ErrorCode::audit_damaged);
  EXPECT_EQ(place_.open()->audit(5).error().code, ErrorCode::audit_damaged);
}

TEST_F(Audit, AVaultThatIsOpenNoticesThatItsLogBecameShorter) {
  const std::vector<std::string> good = lines_of(place_.log());
  put_lines(place_.log(), {good[0], good[1], good[2]});
  EXPECT_EQ(admin_->list_keks().error().code, ErrorCode::audit_damaged);
}

TEST_F(Audit, AnotherLogOfTheSameVaultIsNoticed) {
  // A copy of the vault goes its own way: its log is as good a chain, under the same key and as long, but not this one.
  const fs::path copy = place_.sandbox() / "copy";
  fs::copy(place_.path(), copy, fs::copy_options::recursive);
  fs::permissions(copy, fs::perms::owner_all);
  for (const auto& file : fs::directory_iterator(copy))
    fs::permissions(file.path(), fs::perms::owner_read | fs::perms::owner_write);
  const auto other = LocalVault::open("main", copy, {KeySlotType::key_file, test_key(), "k"}, "admin").value();
  ASSERT_TRUE(admin_->set_secret("here", some_bek()));
  ASSERT_TRUE(other->set_secret("there", some_bek()));
  EXPECT_EQ(outcome(), ErrorCode::unknown_error_name);
  put_content(place_.log(), content_of(copy / "audit.log"));
  const auto refused = place_.open()->list_keks();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("entry 6 is not the one that the vault knows"));
}

TEST_F(Audit, ALogThatIsMovedAwayBeginsAnewAndSaysSo) {
  const fs::path evidence = place_.sandbox() / "evidence";
  fs::rename(place_.log(), evidence);
  EXPECT_EQ(outcome(), ErrorCode::unknown_error_name);
  const auto entries = place_.open()->audit(100);
  ASSERT_TRUE(entries);
  EXPECT_EQ(entries->front().operation, "audit:begin");
  EXPECT_EQ(entries->front().number, 3U);  // the vault knows of two
  EXPECT_THAT(entries->front().detail, HasSubstr("up to 2"));
  // A vault that was open all the time goes on too, and a change leaves its mark in the new log.
  EXPECT_TRUE(admin_->list_keks());
  ASSERT_TRUE(admin_->create_kek("second", KekType::x25519));
  EXPECT_EQ(outcome(), ErrorCode::unknown_error_name);
  // Now the old log does not do any more.
  fs::remove(place_.log());
  fs::copy_file(evidence, place_.log());
  EXPECT_EQ(outcome(), ErrorCode::audit_damaged);
}

TEST_F(Audit, AnEntryThatACrashToreIsTakenAway) {
  const Buffer good = content_of(place_.log());
  const std::size_t entries = lines_of(place_.log()).size();
  for (const std::string& torn : {std::string("{"), std::string("{\"number\":6,\"time\":\"20"), std::string(4, '\0')}) {
    Buffer longer = good;
    append(longer, as_bytes(torn));
    put_content(place_.log(), longer);
    EXPECT_EQ(outcome(), ErrorCode::unknown_error_name);
    EXPECT_EQ(lines_of(place_.log()).size(), entries + 1);
    EXPECT_EQ(place_.open()->audit(100).value().size(), entries + 1);
    put_content(place_.log(), good);
  }
  Buffer noise = good;
  noise.resize(good.size() + 100'000, 'x');
  put_content(place_.log(), noise);
  EXPECT_EQ(outcome(), ErrorCode::audit_damaged);
}

TEST_F(Audit, AnOlderVaultThatWasPutBackIsNoted) {
  const Buffer old = content_of(place_.file());
  ASSERT_TRUE(admin_->create_kek("second", KekType::x25519));
  ASSERT_TRUE(admin_->set_secret("s", some_bek()));
  put_content(place_.file(), old);
  for (int round = 0; round < 2; ++round) {
    const auto entries = place_.open()->audit(100);
    ASSERT_TRUE(entries) << entries.error().message();
    EXPECT_EQ(std::ranges::count_if(*entries, [](const auto& entry) { return entry.operation == "vault:undone"; }),
              round == 0 ? 0 : 1);  // noted after the lines were read, and once only
  }
  EXPECT_EQ(admin_->list_keks().value().size(), 1U);
}

// Fails the calls that it is given.
class NoLog final : public VaultSystem {
 public:
  bool writes = true, syncs = true;
  ssize_t write(int file, ByteView bytes) override {
    if (writes) return VaultSystem::write(file, bytes);
    errno = ENOSPC;
    return -1;
  }
  int sync(int file) override {
    if (syncs) return VaultSystem::sync(file);
    errno = EIO;
    return -1;
  }
};

TEST_F(Audit, WithoutItNothingIsGivenOutAndNothingChanges) {
  NoLog system;
  const auto vault = place_.try_open("admin", system).value();
  const Buffer vault_before = content_of(place_.file());
  const Buffer log_before = content_of(place_.log());
  for (bool NoLog::* const what : {&NoLog::writes, &NoLog::syncs}) {
    system.*what = false;
    const ErrorCode expected = what == &NoLog::writes ? ErrorCode::no_space : ErrorCode::io_error;
    EXPECT_EQ(vault->unwrap("backup", wrapped_).error().code, expected);
    EXPECT_EQ(vault->get_secret("none").error().code, expected);  // a failed call needs its entry, too
    EXPECT_EQ(vault->create_kek("second", KekType::x25519).error().code, expected);
    system.*what = true;
    EXPECT_EQ(content_of(place_.file()), vault_before);
    EXPECT_EQ(content_of(place_.log()), log_before);
  }
  EXPECT_TRUE(vault->unwrap("backup", wrapped_));
}

}  // namespace
}  // namespace cairn
