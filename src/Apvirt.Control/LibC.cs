using System.Runtime.InteropServices;

namespace Apvirt.Control;

/// <summary>The system calls about the owners of files.</summary>
internal static unsafe partial class LibC
{
    private const int CurrentDirectory = -100;
    private const int DoNotFollow = 0x100;
    private const uint TypeModeAndUser = 0x1 | 0x2 | 0x8;
    private const int NoSuchFile = 2;

    [LibraryImport("libc", EntryPoint = "geteuid")]
    internal static partial uint EffectiveUser();

    /// <summary>What a path names; links are not followed.</summary>
    /// <returns>False if there is nothing.</returns>
    /// <exception cref="IOException">It cannot be seen.</exception>
    internal static bool TryStat(string path, out FileStatus status)
    {
        StatusBuffer buffer = default;
        bool exists = Statx(CurrentDirectory, path, DoNotFollow, TypeModeAndUser, &buffer) == 0;
        if (!exists && Marshal.GetLastPInvokeError() != NoSuchFile)
            throw new IOException($"{path}: {Marshal.GetLastPInvokeErrorMessage()}");
        status = new FileStatus(buffer.User, buffer.Mode);
        return exists;
    }

    // Unlike stat, it fills the same structure on all machines.
    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Statx(int directory, string path, int flags, uint mask, StatusBuffer* status);

    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct StatusBuffer
    {
        [FieldOffset(20)]
        internal uint User;

        [FieldOffset(28)]
        internal ushort Mode;
    }
}
