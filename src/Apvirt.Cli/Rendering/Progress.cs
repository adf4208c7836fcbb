using System.Diagnostics;
using System.Globalization;

namespace Apvirt.Cli.Rendering;

/// <summary>A line of progress on a terminal, for whatever takes over a second; nothing anywhere else.</summary>
internal sealed class Progress(CommandIo io, string what, int total) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly Lock _gate = new();
    private int _done;
    private bool _isShown;

    public void Dispose()
    {
        if (_isShown)
            io.Error.Write("\r\u001b[K");
    }

    internal void Step()
    {
        int done = Interlocked.Increment(ref _done);
        if (!io.IsTerminal || Stopwatch.GetElapsedTime(_start) < Patience)
            return;
        lock (_gate)
        {
            _isShown = true;
            io.Error.Write(string.Create(CultureInfo.InvariantCulture, $"\r{what} {done}/{total}\u001b[K"));
        }
    }
}
