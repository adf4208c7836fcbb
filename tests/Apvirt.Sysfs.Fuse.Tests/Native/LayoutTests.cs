using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Apvirt.Sysfs.Fuse.Native;

namespace Apvirt.Sysfs.Fuse.Tests.Native;

/// <summary>Layouts of native structures against the C headers of this machine.</summary>
public sealed class LayoutTests
{
    private const string Headers = "/usr/include/fuse3/fuse_lowlevel.h";

    private static Dictionary<string, int> Compile(params string[] expressions)
    {
        Assert.SkipUnless(File.Exists(Headers) && File.Exists("/usr/bin/gcc"), "needs gcc and the headers of libfuse3");
        string folder = Directory.CreateTempSubdirectory("apvirt-layout").FullName;
        try
        {
            string lines = string.Join('\n', expressions.Select(e => $"printf(\"%s %ld\\n\", \"{e.Replace("\"", "\\\"", StringComparison.Ordinal)}\", (long)({e}));"));
            File.WriteAllText(
                Path.Combine(folder, "layout.c"),
                $$"""
                #define FUSE_USE_VERSION 34
                #define _GNU_SOURCE
                #include <fuse3/fuse_lowlevel.h>
                #include <stddef.h>
                #include <stdio.h>
                #include <string.h>
                static unsigned bit_of(struct fuse_file_info fi) { unsigned bits; memcpy(&bits, (char *)&fi + 4, 4); return bits; }
                int main(void) {
                {{lines}}
                return 0; }
                """);
            Run("/usr/bin/gcc", ["-D_FILE_OFFSET_BITS=64", "-I/usr/include/fuse3", "-o", Path.Combine(folder, "layout"), Path.Combine(folder, "layout.c")]);
            return Run(Path.Combine(folder, "layout"), []).Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .ToDictionary(line => line[..line.LastIndexOf(' ')], line => int.Parse(line.AsSpan(line.LastIndexOf(' ') + 1), CultureInfo.InvariantCulture), StringComparer.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string Run(string program, string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false })!;
        string output = process.StandardOutput.ReadToEnd();
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, error);
        return output;
    }

    [Fact]
    public void Stat_and_entry_are_where_the_headers_say()
    {
        StatLayout layout = StatLayout.Here!;
        Dictionary<string, int> c = Compile(
            "sizeof(struct stat)", "offsetof(struct stat, st_ino)", "offsetof(struct stat, st_mode)", "offsetof(struct stat, st_nlink)",
            "sizeof(((struct stat *)0)->st_nlink)", "offsetof(struct stat, st_size)", "offsetof(struct stat, st_blksize)",
            "offsetof(struct stat, st_atim)", "offsetof(struct stat, st_mtim)", "offsetof(struct stat, st_ctim)",
            "sizeof(struct fuse_entry_param)", "offsetof(struct fuse_entry_param, ino)", "offsetof(struct fuse_entry_param, generation)",
            "offsetof(struct fuse_entry_param, attr)", "offsetof(struct fuse_entry_param, attr_timeout)", "offsetof(struct fuse_entry_param, entry_timeout)");
        Assert.Equal(c["sizeof(struct stat)"], layout.Size);
        Assert.Equal(c["offsetof(struct stat, st_ino)"], layout.Inode);
        Assert.Equal(c["offsetof(struct stat, st_mode)"], layout.Mode);
        Assert.Equal(c["offsetof(struct stat, st_nlink)"], layout.Links);
        Assert.Equal(c["sizeof(((struct stat *)0)->st_nlink)"], layout.LinksSize);
        Assert.Equal(c["offsetof(struct stat, st_size)"], layout.FileSize);
        Assert.Equal(c["offsetof(struct stat, st_blksize)"], layout.BlockSize - (BitConverter.IsLittleEndian ? 0 : 4));
        Assert.Equal(c["offsetof(struct stat, st_atim)"], layout.Access);
        Assert.Equal(c["offsetof(struct stat, st_mtim)"], layout.Modification);
        Assert.Equal(c["offsetof(struct stat, st_ctim)"], layout.Change);
        Assert.Equal(0, c["offsetof(struct fuse_entry_param, ino)"]);
        Assert.Equal(8, c["offsetof(struct fuse_entry_param, generation)"]);
        Assert.Equal(StatLayout.EntryStat, c["offsetof(struct fuse_entry_param, attr)"]);
        Assert.Equal(c["offsetof(struct fuse_entry_param, attr_timeout)"], layout.EntryAttributeTimeout);
        Assert.Equal(c["offsetof(struct fuse_entry_param, entry_timeout)"], layout.EntryTimeout);
        Assert.Equal(c["sizeof(struct fuse_entry_param)"], layout.EntrySize);
    }

    [Fact]
    public void Structures_are_as_the_headers_say()
    {
        Dictionary<string, int> c = Compile(
            "sizeof(struct fuse_args)", "offsetof(struct fuse_args, argv)", "sizeof(struct fuse_buf)", "offsetof(struct fuse_buf, mem)",
            "offsetof(struct fuse_buf, fd)", "offsetof(struct fuse_buf, pos)", "offsetof(struct fuse_file_info, fh)",
            "offsetof(struct fuse_file_info, lock_owner)", "offsetof(struct fuse_file_info, poll_events)", "sizeof(struct fuse_forget_data)",
            "bit_of((struct fuse_file_info){ .direct_io = 1 })", "bit_of((struct fuse_file_info){ .noflush = 1 })",
            "offsetof(struct fuse_conn_info, max_write)", "offsetof(struct fuse_conn_info, capable)", "offsetof(struct fuse_conn_info, want)",
            "sizeof(struct fuse_conn_info)");
        Assert.Equal(c["sizeof(struct fuse_args)"], Unsafe.SizeOf<FuseArgs>());
        Assert.Equal(c["offsetof(struct fuse_args, argv)"], Offset<FuseArgs>("Values"));
        Assert.Equal(c["sizeof(struct fuse_buf)"], Unsafe.SizeOf<FuseBuffer>());
        Assert.Equal(c["offsetof(struct fuse_buf, mem)"], Offset<FuseBuffer>("Memory"));
        Assert.Equal(c["offsetof(struct fuse_buf, fd)"], Offset<FuseBuffer>("File"));
        Assert.Equal(c["offsetof(struct fuse_buf, pos)"], Offset<FuseBuffer>("Position"));
        Assert.Equal(c["offsetof(struct fuse_file_info, fh)"], Offset<FuseFileInfo>("Handle"));
        Assert.Equal(c["offsetof(struct fuse_file_info, lock_owner)"], Offset<FuseFileInfo>("LockOwner"));
        Assert.Equal(c["offsetof(struct fuse_file_info, poll_events)"], Offset<FuseFileInfo>("PollEvents"));
        Assert.Equal((int)FuseFileInfo.DirectIo, c["bit_of((struct fuse_file_info){ .direct_io = 1 })"]);
        Assert.Equal((int)FuseFileInfo.NoFlush, c["bit_of((struct fuse_file_info){ .noflush = 1 })"]);
        Assert.Equal(c["sizeof(struct fuse_forget_data)"], Unsafe.SizeOf<ForgetItem>());
        Assert.Equal(c["offsetof(struct fuse_conn_info, max_write)"], Offset<FuseConnection>("MaxWrite"));
        Assert.Equal(c["offsetof(struct fuse_conn_info, capable)"], Offset<FuseConnection>("Capable"));
        Assert.Equal(c["offsetof(struct fuse_conn_info, want)"], Offset<FuseConnection>("Wanted"));
        Assert.Equal(c["sizeof(struct fuse_conn_info)"], Unsafe.SizeOf<FuseConnection>());
    }

    [Fact]
    public void The_table_of_functions_is_in_the_order_of_the_headers()
    {
        (string C, string Mine)[] functions =
        [
            ("init", "Init"), ("lookup", "Lookup"), ("forget", "Forget"), ("getattr", "GetAttributes"), ("setattr", "SetAttributes"),
            ("readlink", "ReadLink"), ("mknod", "MakeNode"), ("mkdir", "MakeDirectory"), ("unlink", "Unlink"), ("rmdir", "RemoveDirectory"),
            ("symlink", "SymbolicLink"), ("rename", "Rename"), ("link", "Link"), ("open", "Open"), ("read", "Read"), ("write", "Write"),
            ("release", "Release"), ("opendir", "OpenDirectory"), ("readdir", "ReadDirectory"), ("releasedir", "ReleaseDirectory"),
            ("create", "Create"), ("forget_multi", "ForgetMany"), ("readdirplus", "ReadDirectoryPlus"),
        ];
        Dictionary<string, int> c = Compile([.. functions.Select(f => $"offsetof(struct fuse_lowlevel_ops, {f.C})"), "sizeof(struct fuse_lowlevel_ops)"]);
        Assert.All(functions, f => Assert.Equal(c[$"offsetof(struct fuse_lowlevel_ops, {f.C})"], Offset<LowLevelOperations>(f.Mine)));
        Assert.Equal(c["sizeof(struct fuse_lowlevel_ops)"], Unsafe.SizeOf<LowLevelOperations>());
    }

    [Fact]
    public void Flags_are_those_of_the_headers()
    {
        Dictionary<string, int> c = Compile(
            "FUSE_CAP_ATOMIC_O_TRUNC", "FUSE_CAP_SPLICE_WRITE", "FUSE_CAP_SPLICE_MOVE", "FUSE_CAP_SPLICE_READ", "FUSE_CAP_AUTO_INVAL_DATA",
            "FUSE_CAP_READDIRPLUS", "FUSE_CAP_READDIRPLUS_AUTO", "FUSE_CAP_PARALLEL_DIROPS", "FUSE_CAP_CACHE_SYMLINKS",
            "FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID");
        Assert.Equal(
            [
                FuseConnection.AtomicTruncate, FuseConnection.SpliceWrite, FuseConnection.SpliceMove, FuseConnection.SpliceRead,
                FuseConnection.AutoInvalidateData, FuseConnection.ReadDirPlus, FuseConnection.ReadDirPlusAuto,
                FuseConnection.ParallelDirectoryOperations, FuseConnection.CacheLinks, 0b111u,
            ],
            c.Values.Select(v => (uint)v));
    }

    private static int Offset<T>(string field) => (int)Marshal.OffsetOf<T>(field);
}
