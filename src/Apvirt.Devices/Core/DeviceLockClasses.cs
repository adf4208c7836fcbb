using System.Runtime.CompilerServices;
using Apvirt.Kernel.Locking;

namespace Apvirt.Devices.Core;

/// <summary>
/// The lock classes of a kind of device: its lock (L4) and the references on its files (L1). Kinds are apart because their
/// orders differ, and files of the driver are apart from those of the device because they go at other times.
/// </summary>
public sealed class DeviceLockClasses
{
    /// <summary>Declares the classes of a kind of device.</summary>
    /// <param name="kind">Its short name, such as <c>apq</c>.</param>
    /// <param name="file">Declaring file; filled in by the compiler.</param>
    /// <param name="line">Declaring line; filled in by the compiler.</param>
    public DeviceLockClasses(string kind, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        Lock = new LockClass($"device_lock({kind})", LockKind.Mutex, LockNesting.None, file, line);
        Files = new LockClass($"kn_active({kind})", LockKind.ActiveReference, LockNesting.None, file, line);
        DriverFiles = new LockClass($"kn_active({kind} driver)", LockKind.ActiveReference, LockNesting.None, file, line);
    }

    /// <summary>The device's lock.</summary>
    public LockClass Lock { get; }

    /// <summary>References on the files that the device always has.</summary>
    public LockClass Files { get; }

    /// <summary>References on the files that it has while it is bound.</summary>
    public LockClass DriverFiles { get; }
}
