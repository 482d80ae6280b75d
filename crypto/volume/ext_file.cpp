// SPDX-License-Identifier: GPL-3.0-or-later
// A file out of ext2, ext3 or ext4: libext2fs over bytes that are asked for, one piece at a time. guest_file_helper.h.
#include <ext2fs/ext2fs.h>
#include <fmt/core.h>

#include <algorithm>
#include <string>

extern "C" {
#include <et/com_err.h>  // does not say itself that it is C
}

#include "config/base/bytes.h"
#include "config/base/units.h"
#include "crypto/volume/guest_file_helper.h"

namespace cairn::guest_file {
namespace {

constexpr unsigned kFirstBlock = 1024;

std::uint64_t partition_size = 0;  // this process reads one file

// --- libext2fs's way to the bytes: struct_io_manager of ext2_io.h ---------------------------------------------------

errcode_t open_channel(const char* /*name*/, int /*flags*/, io_channel* made);

errcode_t close_channel(io_channel channel) {
  if (--channel->refcount > 0) return 0;
  ext2fs_free_mem(&channel->name);
  ext2fs_free_mem(&channel);
  return 0;
}

errcode_t set_block_size(io_channel channel, int size) {
  channel->block_size = size;
  return 0;
}

// `count`: blocks; negative: bytes.
errcode_t read_blocks(io_channel channel, unsigned long long block, int count, void* data) {
  const auto block_size = static_cast<std::uint64_t>(channel->block_size);
  const std::uint64_t size = count < 0 ? static_cast<std::uint64_t>(-static_cast<std::int64_t>(count))
                                       : block_size * static_cast<unsigned>(count);
  if (block_size == 0 || block > partition_size / block_size) return EXT2_ET_SHORT_READ;
  const std::uint64_t offset = block * block_size;
  if (size > partition_size - offset) return EXT2_ET_SHORT_READ;
  ask(offset, {static_cast<std::uint8_t*>(data), static_cast<std::size_t>(size)});
  return 0;
}

errcode_t read_blocks_32(io_channel channel, unsigned long block, int count, void* data) {
  return read_blocks(channel, block, count, data);
}

errcode_t refuse_to_write(io_channel /*channel*/, unsigned long long /*block*/, int /*count*/, const void* /*data*/) {
  return EXT2_ET_RO_FILSYS;
}

errcode_t refuse_to_write_32(io_channel /*channel*/, unsigned long /*block*/, int /*count*/, const void* /*data*/) {
  return EXT2_ET_RO_FILSYS;
}

errcode_t flush_nothing(io_channel /*channel*/) {
  return 0;
}

io_manager bytes_of_the_partition() {
  static struct_io_manager manager{};
  manager.magic = EXT2_ET_MAGIC_IO_MANAGER;
  manager.name = "cairn";
  manager.open = open_channel;
  manager.close = close_channel;
  manager.set_blksize = set_block_size;
  manager.read_blk = read_blocks_32;
  manager.read_blk64 = read_blocks;
  manager.write_blk = refuse_to_write_32;
  manager.write_blk64 = refuse_to_write;
  manager.flush = flush_nothing;
  return &manager;
}

errcode_t open_channel(const char* /*name*/, int /*flags*/, io_channel* made) {
  io_channel channel = nullptr;
  if (const errcode_t problem = ext2fs_get_memzero(sizeof(struct_io_channel), &channel)) return problem;
  channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
  channel->manager = bytes_of_the_partition();
  if (const errcode_t problem = ext2fs_get_memzero(1, &channel->name)) return problem;
  channel->block_size = kFirstBlock;
  channel->refcount = 1;
  *made = channel;
  return 0;
}

// --- the file --------------------------------------------------------------------------------------------------------

[[noreturn]] void say_damaged(const char* doing, errcode_t problem) {
  say(FileOutcome::damaged, fmt::format("cannot {}: {}", doing, error_message(problem)));
}

ext2_inode inode_of(ext2_filsys fs, ext2_ino_t number) {
  ext2_inode inode{};
  if (const errcode_t problem = ext2fs_read_inode(fs, number, &inode)) say_damaged("read an inode", problem);
  return inode;
}

ext2_ino_t find_file(ext2_filsys fs, const std::string& whole) {
  ext2_ino_t at = EXT2_ROOT_INO;
  for (std::string_view path = whole; !path.empty();) {
    const std::string_view so_far = std::string_view(whole).substr(0, whole.size() - path.size());
    const std::string_view name = next_name(path);
    const ext2_inode folder = inode_of(fs, at);
    if (LINUX_S_ISLNK(folder.i_mode)) say_link_in_the_way(so_far);
    if (!LINUX_S_ISDIR(folder.i_mode)) say(FileOutcome::no_such_file, "");
    if ((folder.i_flags & EXT4_ENCRYPT_FL) != 0)
      say(FileOutcome::not_a_file, "lies in a folder that the file system keeps encrypted");
    const errcode_t problem = ext2fs_lookup(fs, at, name.data(), static_cast<int>(name.size()), nullptr, &at);
    if (problem == EXT2_ET_FILE_NOT_FOUND)
      say(FileOutcome::no_such_file, ext2fs_has_feature_journal_needs_recovery(fs->super)
                                         ? " (the file system was in use: what was written in the last seconds may not "
                                           "be seen yet)"
                                         : "");
    if (problem != 0) say_damaged("read a folder", problem);
  }
  return at;
}

}  // namespace

void read_from_ext(const Question& question) {
  partition_size = question.partition_size;
  initialize_ext2_error_table();
  ext2_filsys fs = nullptr;
  errcode_t problem = ext2fs_open2("partition", nullptr, EXT2_FLAG_64BITS, 0, 0, bytes_of_the_partition(), &fs);
  if (problem == EXT2_ET_BAD_MAGIC || problem == EXT2_ET_SHORT_READ) return;
  if (problem != 0) say_damaged("open it", problem);
  const ext2_ino_t number = find_file(fs, question.path);
  const ext2_inode inode = inode_of(fs, number);
  if (LINUX_S_ISLNK(inode.i_mode)) say_link();
  if (!LINUX_S_ISREG(inode.i_mode)) say(FileOutcome::not_a_file, "is no ordinary file");
  if ((inode.i_flags & EXT4_ENCRYPT_FL) != 0) say(FileOutcome::not_a_file, "is kept encrypted by the file system");
  const std::uint64_t size = EXT2_I_SIZE(&inode);
  if (size > question.most) say(FileOutcome::too_large, fmt::format("{}", size));
  ext2_file_t file = nullptr;
  problem = ext2fs_file_open(fs, number, 0, &file);
  if (problem != 0) say_damaged("open the file", problem);
  Buffer bytes(static_cast<std::size_t>(size));
  for (std::size_t done = 0; done < bytes.size();) {
    unsigned got = 0;
    const auto wanted = static_cast<unsigned>(std::min<std::size_t>(bytes.size() - done, kMostAsked));
    problem = ext2fs_file_read(file, bytes.data() + done, wanted, &got);
    if (problem != 0) say_damaged("read the file", problem);
    if (got == 0) say(FileOutcome::damaged, "the file ends before its size");
    done += got;
  }
  say(FileOutcome::read, "", bytes);
}

}  // namespace cairn::guest_file
