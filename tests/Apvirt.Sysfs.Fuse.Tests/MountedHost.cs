using System.Runtime.InteropServices;
using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Ap.Profiles;
using Apvirt.Host.Checks;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Sysfs.Fuse.Mounts;
using Apvirt.Sysfs.Fuse.Serving;

namespace Apvirt.Sysfs.Fuse.Tests;

/// <summary>A host in real time, mounted on a temporary directory; and system calls on it, with their errors as numbers.</summary>
internal sealed partial class MountedHost : IDisposable
{
    internal const string M = "62177883-f1bb-47f0-914d-32a22e3a8804";

    internal MountedHost(int[] adapters, int[] domains, string apmask = "0x0", KernelChecks? checks = null, Profile? profile = null)
    {
        Assert.SkipUnless(MountConditions.WhatIsMissing() is null, MountConditions.WhatIsMissing() ?? "");
        Runtime = new ProductionRuntime(seed: 1) { Checks = checks };
        Task = Runtime.CreateTask("test");
        Host = Wait(VirtualHost.BootAsync(Task, new MachineSetup
        {
            Profile = profile ?? Profile.Linux612,
            Configuration = new QciInfo(ApFeatures.Apsc | ApFeatures.Apxa, 255, 255, ApMask.Of(adapters), ApMask.Of(domains), ApMask.Of(domains)),
            Adapters = Enumerable.Range(0, 256).ToDictionary(id => id, _ => new AdapterType(14, AdapterType.CcaFunctions)),
            Bus = new ApBusOptions { ApMaskParameter = apmask, ScansByTimer = false, UseInterrupts = false },
        }));
        Directory = System.IO.Directory.CreateTempSubdirectory("apvirt-mount").FullName;
        Assert.Null(SysfsMount.Start(Host.Tree, new DirectEntry(Runtime), Directory, out SysfsMount? mount));
        Mount = mount!;
    }

    internal ProductionRuntime Runtime { get; }

    internal KernelTask Task { get; }

    internal VirtualHost Host { get; }

    internal string Directory { get; }

    internal SysfsMount Mount { get; }

    internal string Types => "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough";

    internal string Mdev(string attribute) => $"devices/vfio_ap/matrix/{M}/{attribute}";

    internal string At(string path) => Path.Combine(Directory, path);

    internal static T Wait<T>(ValueTask<T> operation) => operation.AsTask().GetAwaiter().GetResult();

    internal string Read(string path) => File.ReadAllText(At(path));

    /// <summary>Opens, writes once and closes, as a program does.</summary>
    internal Errno Write(string path, string text)
    {
        int file = Open(At(path), WriteOnly);
        if (file < 0)
            return LastError;
        byte[] bytes = Encoding.ASCII.GetBytes(text);
        Errno error = Write(file, bytes, (nuint)bytes.Length) < 0 ? LastError : Errno.Ok;
        _ = Close(file);
        return error;
    }

    internal Errno TryRead(string path)
    {
        int file = Open(At(path), ReadOnly);
        if (file < 0)
            return LastError;
        Errno error = Read(file, new byte[4096], 4096) < 0 ? LastError : Errno.Ok;
        _ = Close(file);
        return error;
    }

    public void Dispose()
    {
        Mount.Dispose();
        System.IO.Directory.Delete(Directory);
    }

    internal const int ReadOnly = 0;
    internal const int WriteOnly = 1;
    internal const int ReadWrite = 2;
    internal const int Create = 0x40;
    internal const int Truncate = 0x200;

    internal static Errno LastError => (Errno)Marshal.GetLastPInvokeError();

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    internal static partial int Open(string path, int flags, int mode = 0x1a4);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    internal static partial nint Read(int file, byte[] buffer, nuint size);

    [LibraryImport("libc", EntryPoint = "pread", SetLastError = true)]
    internal static partial nint ReadAt(int file, byte[] buffer, nuint size, long offset);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    internal static partial nint Write(int file, byte[] buffer, nuint size);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    internal static partial int Close(int file);

    [LibraryImport("libc", EntryPoint = "mkdir", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    internal static partial int MakeDirectory(string path, uint mode);

    [LibraryImport("libc", EntryPoint = "unlink", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    internal static partial int Unlink(string path);

    [LibraryImport("libc", EntryPoint = "rmdir", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    internal static partial int RemoveDirectory(string path);

    [LibraryImport("libc", EntryPoint = "rename", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    internal static partial int Rename(string from, string to);

    [LibraryImport("libc", EntryPoint = "symlink", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    internal static partial int SymbolicLink(string text, string path);

    [LibraryImport("libc", EntryPoint = "link", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    internal static partial int HardLink(string from, string to);

    [LibraryImport("libc", EntryPoint = "truncate", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    internal static partial int TruncateTo(string path, long length);

    [LibraryImport("libc", EntryPoint = "chmod", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    internal static partial int ChangeMode(string path, uint mode);
}
