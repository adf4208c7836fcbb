namespace Apvirt.Kernel.Logging;

/// <summary>How serious a line of the kernel log is.</summary>
public enum LogLevel
{
    /// <summary>Something worth knowing.</summary>
    Info,
    /// <summary>Something that went wrong or was refused.</summary>
    Warning,
}

/// <summary>One line of the kernel log.</summary>
/// <param name="Level">How serious it is.</param>
/// <param name="Source">Driver and device, for example <c>vfio_ap_mdev 62177883-…</c>.</param>
/// <param name="Message">What happened.</param>
public readonly record struct LogLine(LogLevel Level, string Source, string Message);

/// <summary>
/// The kernel log (dmesg): where the reasons of a refusal are, which an errno cannot carry. Without a reader nothing is
/// formatted; callers ask <see cref="IsRead"/> before they put a line together.
/// </summary>
public sealed class KernelLog
{
    // Guards _readers and the order of calls.
    private readonly Lock _gate = new();
    private Action<LogLine>[] _readers = [];

    /// <summary>Whether anybody reads.</summary>
    public bool IsRead => _readers.Length > 0;

    /// <summary>Begins reading. The reader is called on the writer's task and must not block.</summary>
    /// <param name="reader">Called for each line.</param>
    public void Read(Action<LogLine> reader)
    {
        lock (_gate)
            _readers = [.. _readers, reader];
    }

    /// <summary>Adds a line.</summary>
    /// <param name="level">How serious it is.</param>
    /// <param name="source">Driver and device.</param>
    /// <param name="message">What happened.</param>
    public void Write(LogLevel level, string source, string message)
    {
        lock (_gate)
        {
            foreach (Action<LogLine> reader in _readers)
                reader(new LogLine(level, source, message));
        }
    }
}
