// SPDX-License-Identifier: GPL-3.0-or-later
// The BitLocker volume of the tests. Protectors and keys are AES-CCM entries as in cryptsetup's lib/bitlk/bitlk.c,
// sectors are AES-XTS-128 with the sector's number as tweak. Any thread.
#include "tests/support/bitlocker_volume.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <random>
#include <span>

#include "config/base/result.h"

namespace cairn::testing {

namespace {

constexpr std::size_t kBlockArea = 64 * 1024;
constexpr std::size_t kVolumeHeader = 8192;
constexpr std::size_t kSector = 512;
constexpr std::array<std::uint8_t, 16> kIdentifier = {0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a,
                                                      0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01};
constexpr std::uint64_t kTime = 133000000000000000;  // FILETIME, some day in 2022
constexpr std::uint16_t kXts128 = 0x8004;
using Key = std::array<std::uint8_t, 32>;

Buffer entry(std::uint16_t type, std::uint16_t value, ByteView data) {
  Buffer bytes;
  append_le(bytes, static_cast<std::uint16_t>(data.size() + 8));
  append_le(bytes, type);
  append_le(bytes, value);
  append_le(bytes, std::uint16_t{1});
  append(bytes, data);
  return bytes;
}

class Maker {
 public:
  explicit Maker(const BitlockerOptions& options) : options_(options), random_(options.seed) {}

  BitlockerVolume make() {
    place();
    const Buffer block = metadata();
    fill();
    for (const std::uint64_t at : volume_.blocks)
      std::copy(block.begin(), block.end(), volume_.bytes.begin() + static_cast<std::ptrdiff_t>(at));
    boot_sector();
    return std::move(volume_);
  }

 private:
  Buffer random_bytes(std::size_t size) {
    Buffer bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random_());
    return bytes;
  }

  void place() {
    CAIRN_ASSERT(options_.size >= 4 * 1024 * 1024 && options_.size % 4096 == 0);
    volume_.bytes.resize(options_.size);
    volume_.plaintext.resize(options_.size);
    const std::uint64_t quarter = options_.size / 4 / kBlockArea * kBlockArea;
    volume_.blocks = {quarter, 2 * quarter, 3 * quarter};
    header_at_ = quarter + kBlockArea;
    std::ranges::copy(random_bytes(32), vmk_.begin());
    std::ranges::copy(random_bytes(32), fvek_.begin());
  }

  // A key entry, sealed under `with`: nonce, tag, ciphertext.
  Buffer sealed_key(std::uint16_t type, ByteView key, std::uint32_t method, const Key& with) {
    Buffer plain;
    append_le(plain, method);
    append(plain, key);
    plain = entry(0, 1, plain);
    Buffer nonce;
    append_le(nonce, kTime);
    append_le(nonce, ++nonces_);
    Buffer cipher(plain.size());
    Buffer tag(16);
    const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                  EVP_CIPHER_CTX_free);
    int length = 0;
    EVP_EncryptInit_ex(context.get(), EVP_aes_256_ccm(), nullptr, nullptr, nullptr);
    EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_CCM_SET_IVLEN, 12, nullptr);
    EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_CCM_SET_TAG, 16, nullptr);
    EVP_EncryptInit_ex(context.get(), nullptr, nullptr, with.data(), nonce.data());
    const int sealed =
        EVP_EncryptUpdate(context.get(), cipher.data(), &length, plain.data(), static_cast<int>(plain.size()));
    EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_CCM_GET_TAG, 16, tag.data());
    CAIRN_ASSERT(sealed == 1);
    append(nonce, tag);
    append(nonce, cipher);
    return entry(type, 5, nonce);
  }

  Key stretch(const Key& start, ByteView salt) const {
    Buffer state(32, 0);  // last hash, first hash, salt, count
    append(state, start);
    append(state, salt);
    append_le(state, std::uint64_t{0});
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    for (std::uint64_t round = 0; round < options_.key_rounds; ++round) {
      put_le(MutableBytes(state).subspan(80), round);
      EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
      EVP_DigestUpdate(context.get(), state.data(), state.size());
      EVP_DigestFinal_ex(context.get(), state.data(), nullptr);
    }
    Key key{};
    std::copy_n(state.begin(), 32, key.begin());
    return key;
  }

  static Key sha256(ByteView bytes) {
    Key hash{};
    EVP_Digest(bytes.data(), bytes.size(), hash.data(), nullptr, EVP_sha256(), nullptr);
    return hash;
  }

  Buffer protector(std::uint16_t protection, std::uint32_t method, const Key& secret) {
    const Buffer salt = random_bytes(16);
    const Key key = stretch(secret, salt);
    Buffer stretched;
    append_le(stretched, method);
    append(stretched, salt);
    append(stretched, sealed_key(0, key, 0x2002, vmk_));
    Buffer data = random_bytes(16);  // the protector's GUID
    append_le(data, kTime);
    append_le(data, std::uint16_t{0});
    append_le(data, protection);
    append(data, entry(0, 3, stretched));
    append(data, sealed_key(0, vmk_, 0x2003, key));
    return entry(2, 8, data);
  }

  Buffer recovery_protector() {
    Buffer key;
    for (int group = 0; group < 8; ++group) {
      const auto part = static_cast<std::uint16_t>(random_());
      append_le(key, part);
      volume_.recovery_password += fmt::format("{}{:06}", group == 0 ? "" : "-", part * 11U);
    }
    return protector(0x0800, 0x1000, sha256(key));
  }

  Buffer password_protector() {
    Buffer utf16;
    for (const char c : options_.password) append_le(utf16, static_cast<std::uint16_t>(c));
    return protector(0x2000, 0x1001, sha256(sha256(utf16)));
  }

  Buffer startup_protector() {
    Key key{};
    std::ranges::copy(random_bytes(32), key.begin());
    const Buffer guid = random_bytes(16);
    volume_.startup_key = make_startup_key(guid, key);
    Buffer data = guid;
    append_le(data, kTime);
    append_le(data, std::uint16_t{0});
    append_le(data, std::uint16_t{0x0200});
    append(data, sealed_key(0, vmk_, 0x2003, key));
    return entry(2, 8, data);
  }

  Buffer clear_protector() {
    Key key{};
    std::ranges::copy(random_bytes(32), key.begin());
    Buffer data = random_bytes(16);
    append_le(data, kTime);
    append_le(data, std::uint16_t{0});
    append_le(data, std::uint16_t{0});
    Buffer clear;
    append_le(clear, std::uint32_t{0x2002});
    append(clear, key);
    append(data, entry(0, 1, clear));
    append(data, sealed_key(0, vmk_, 0x2003, key));
    return entry(2, 8, data);
  }

  Buffer metadata() {
    Buffer entries;
    Buffer description;
    for (const char c : std::string_view("CAIRN TEST 2022")) append_le(description, static_cast<std::uint16_t>(c));
    append_le(description, std::uint16_t{0});
    append(entries, entry(7, 2, description));
    if (!options_.password.empty()) append(entries, password_protector());
    if (options_.recovery) append(entries, recovery_protector());
    if (options_.clear_key) append(entries, clear_protector());
    if (options_.startup_key) append(entries, startup_protector());
    append(entries, sealed_key(3, fvek_, kXts128, vmk_));
    Buffer header;
    append_le(header, header_at_);
    append_le(header, std::uint64_t{kVolumeHeader});
    append(entries, entry(15, 15, header));

    const Buffer guid = random_bytes(16);
    volume_.guid =
        fmt::format("{:08x}-{:04x}-{:04x}-{}-{}", get_le<std::uint32_t>(guid),
                    get_le<std::uint16_t>(ByteView(guid).subspan(4)), get_le<std::uint16_t>(ByteView(guid).subspan(6)),
                    to_hex(ByteView(guid).subspan(8, 2)), to_hex(ByteView(guid).subspan(10)));
    const auto size = static_cast<std::uint32_t>(48 + entries.size());
    Buffer block;
    append(block, as_bytes("-FVE-FS-"));
    append_le(block, static_cast<std::uint16_t>((64 + size + 15) / 16));
    append_le(block, std::uint16_t{2});
    append_le(block, std::uint32_t{0x00040004});  // state now and next: fully encrypted
    append_le(block, options_.size);
    append_le(block, std::uint32_t{0});
    append_le(block, static_cast<std::uint32_t>(kVolumeHeader / kSector));
    for (const std::uint64_t at : volume_.blocks) append_le(block, at);
    append_le(block, header_at_);
    append_le(block, size);
    append_le(block, std::uint32_t{1});
    append_le(block, std::uint32_t{48});
    append_le(block, size);
    append(block, guid);
    append_le(block, nonces_ + 1);
    append_le(block, std::uint32_t{kXts128});
    append_le(block, kTime);
    append(block, entries);
    block.resize(kBlockArea);
    repair_checksum(block);
    return block;
  }

  void encrypt(std::uint64_t at, ByteView plain) {
    const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                  EVP_CIPHER_CTX_free);
    EVP_EncryptInit_ex(context.get(), EVP_aes_128_xts(), nullptr, fvek_.data(), nullptr);
    for (std::size_t done = 0; done < plain.size(); done += kSector) {
      std::array<std::uint8_t, 16> tweak{};
      put_le(MutableBytes(tweak), (at + done) / kSector);
      int length = 0;
      EVP_EncryptInit_ex(context.get(), nullptr, nullptr, nullptr, tweak.data());
      EVP_EncryptUpdate(context.get(), volume_.bytes.data() + at + done, &length, plain.data() + done, kSector);
    }
  }

  // Every sector says which one it is; the first 8 KiB stand encrypted at header_at_.
  void fill() {
    for (std::size_t at = 0; at < volume_.plaintext.size(); at += kSector) {
      const std::string text = fmt::format("Cairn test volume, sector {:08}.\n", at / kSector);
      for (std::size_t i = 0; i < kSector; ++i)
        volume_.plaintext[at + i] = static_cast<std::uint8_t>(text[i % text.size()]);
    }
    // What a decrypting device shows as zeros: the metadata and the moved header.
    for (const std::uint64_t at : volume_.blocks)
      std::fill_n(volume_.plaintext.begin() + static_cast<std::ptrdiff_t>(at), kBlockArea, std::uint8_t{0});
    std::fill_n(volume_.plaintext.begin() + static_cast<std::ptrdiff_t>(header_at_), kVolumeHeader, std::uint8_t{0});
    encrypt(0, volume_.plaintext);
    encrypt(header_at_, ByteView(volume_.plaintext).first(kVolumeHeader));
    std::fill_n(volume_.bytes.begin(), kVolumeHeader, std::uint8_t{0});
  }

  void boot_sector() {
    MutableBytes sector = MutableBytes(volume_.bytes).first(kSector);
    const auto put_text = [&](std::size_t at, std::string_view text) {
      std::ranges::copy(as_bytes(text), sector.begin() + static_cast<std::ptrdiff_t>(at));
    };
    put_text(0, "\xeb\x58\x90");
    put_text(3, options_.to_go ? "MSWIN4.1" : "-FVE-FS-");
    put_le(sector.subspan(11), static_cast<std::uint16_t>(kSector));
    sector[13] = 8;     // sectors a cluster
    sector[21] = 0xF8;  // a fixed disk
    const MutableBytes super = sector.subspan(options_.to_go ? 424 : 160);
    std::ranges::copy(kIdentifier, super.begin());
    for (std::size_t i = 0; i < 3; ++i) put_le(super.subspan(16 + 8 * i), volume_.blocks[i]);
    put_le(sector.subspan(510), std::uint16_t{0xAA55});
  }

  BitlockerOptions options_;
  std::mt19937_64 random_;
  BitlockerVolume volume_;
  std::uint64_t header_at_ = 0;
  std::uint32_t nonces_ = 0;
  Key vmk_{};
  Key fvek_{};  // two AES-128 keys
};

}  // namespace

Buffer make_startup_key(ByteView guid, ByteView key) {
  Buffer name;
  for (const char c : std::string_view("ExternalKey")) append_le(name, static_cast<std::uint16_t>(c));
  append_le(name, std::uint16_t{0});
  Buffer method;
  append_le(method, std::uint32_t{0x2002});
  append(method, key);
  Buffer data(guid.begin(), guid.end());
  append_le(data, kTime);
  append(data, entry(0, 2, name));
  append(data, entry(0, 1, method));
  const Buffer whole = entry(6, 9, data);
  const auto size = static_cast<std::uint32_t>(48 + whole.size());
  Buffer file;
  append_le(file, size);
  append_le(file, std::uint32_t{1});
  append_le(file, std::uint32_t{48});
  append_le(file, size);
  append(file, guid);
  append_le(file, std::uint32_t{1});  // the next nonce
  append_le(file, std::uint32_t{0});
  append_le(file, kTime);
  append(file, whole);
  return file;
}

void repair_checksum(MutableBytes block) {
  const std::size_t size = std::size_t{16} * get_le<std::uint16_t>(block.subspan(8));
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::uint8_t byte : block.first(size)) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320U : 0U);
  }
  put_le(block.subspan(size), static_cast<std::uint16_t>(block.size() - size));
  put_le(block.subspan(size + 2), std::uint16_t{2});
  put_le(block.subspan(size + 4), ~crc);
}

BitlockerVolume make_bitlocker_volume(const BitlockerOptions& options) {
  return Maker(options).make();
}

}  // namespace cairn::testing
