using Apvirt.Ap.Bus;
using Apvirt.Cli.Prompt;
using Apvirt.Control;
using Apvirt.Host.Guests;
using Apvirt.Host.Traces;
using Apvirt.Host.Views;
using Apvirt.Sysfs.Fuse.Mounts;

namespace Apvirt.Cli.Serving;

/// <summary>
/// A running host with what it serves: its mount, its control socket and the mounts of its guests' trees. Disposing takes
/// them away in the reverse order.
/// </summary>
internal sealed class ServedHost : IControlledHost, IDisposable
{
    private readonly LiveHost _live;
    private readonly string _name;

    // Guards the guests' mounts, and lets one command run at a time.
    private readonly Lock _gate = new();
    private readonly Dictionary<string, GuestMount> _guestMounts = new(StringComparer.Ordinal);
    private readonly TaskCompletionSource _down = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private SysfsMount? _mount;
    private ControlServer? _control;

    // Held while everything is taken away, so that whoever comes second waits for it. Guards _hasEnded.
    private readonly Lock _ending = new();
    private bool _hasEnded;

    internal ServedHost(LiveHost live, string name)
    {
        _live = live;
        _name = name;
    }

    private string GuestsDirectory => Path.Combine(ControlSocket.Directory, _name + ".guests");

    /// <summary>Ends when somebody asks the host to end.</summary>
    internal Task IsDown => _down.Task;

    /// <summary>Mounts the host's tree.</summary>
    /// <returns>Why it failed; null if it did not.</returns>
    internal string? Mount(string directory)
    {
        string? problem = SysfsMount.Start(_live.Host.Tree, _live.KernelEntry, directory, out _mount, new SysfsMountOptions { IsWatched = true });
        _ = _mount?.Ended.ContinueWith(_ => _down.TrySetResult(), TaskScheduler.Default);
        return problem;
    }

    /// <summary>Opens the control socket.</summary>
    /// <returns>Why it failed; null if it did not.</returns>
    internal string? Listen()
    {
        if (ControlSocket.Prepare(_name) is { } problem)
            return problem;
        _control = ControlServer.StartAsync(this, _name).GetAwaiter().GetResult();
        return null;
    }

    public HostView View() => HostView.Of(_live.Host, _live.Source.Aliases);

    public CommandAnswer Execute(IReadOnlyList<string> words)
    {
        lock (_gate)
        {
            StringWriter output = new();
            StringWriter error = new();
            int status = new PromptSession(_live, new CommandIo(TextReader.Null, output, error)).Execute([.. words]);
            ForgetGuests();
            return new CommandAnswer(status, output.ToString(), error.ToString());
        }
    }

    public (string? Line, string? Problem) Operate(string operation)
    {
        if (TraceReader.ReadSingle(System.Text.Encoding.UTF8.GetBytes(operation), out TraceLine? line) is { } error)
            return (null, error.Message);
        using (line)
        {
            lock (_gate)
            {
                Answer answer = _live.Run(line!, out _) ?? Answer.Blocked;
                ForgetGuests();
                return (TraceWriter.Format(line!, answer), null);
            }
        }
    }

    public GuestTree MountGuest(string guest)
    {
        lock (_gate)
        {
            ForgetGuests();
            if (_guestMounts.TryGetValue(guest, out GuestMount? known))
                return new GuestTree(known.Mount.Directory, Problem: null);
            if (_live.Host.Guests.Find(guest) is not { } process)
                return new GuestTree(Directory: null, $"there is no guest \"{guest}\"; 'apvirt guest list' shows them");
            ApBus bus = _live.Run(task => _live.Host.Guests.BootGuestBusAsync(task, process, scansByTimer: true));
            PrivateSys.AddPlacesTo(bus.Model.Tree);
            string directory = Path.Combine(GuestsDirectory, guest);
            Directory.CreateDirectory(directory);
            string? problem = SysfsMount.Start(
                bus.Model.Tree, _live.KernelEntry, directory, out SysfsMount? mount, new SysfsMountOptions { Source = $"apvirt-{guest}", IsWatched = true });
            if (problem is not null)
            {
                bus.StopScanning();
                return new GuestTree(Directory: null, problem);
            }
            _guestMounts.Add(guest, new GuestMount(process, bus, mount!));
            return new GuestTree(directory, Problem: null);
        }
    }

    public IAsyncEnumerable<HostEvent> Events(CancellationToken cancellation) => HostEvents.Of(_live.Host, cancellation);

    public void Down() => _down.TrySetResult();

    public void Dispose() => End();

    /// <summary>Takes away all that is served.</summary>
    /// <returns>False if that is done already, or being done.</returns>
    internal bool End()
    {
        lock (_ending)
        {
            if (_hasEnded)
                return false;
            _hasEnded = true;
            TakeAway();
            return true;
        }
    }

    private void TakeAway()
    {
        _control?.DisposeAsync().AsTask().GetAwaiter().GetResult();
        lock (_gate)
        {
            foreach (string guest in _guestMounts.Keys.ToArray())
                Forget(guest);
            // Who does not listen has made none: what is there is another's.
            if (_control is not null && Directory.Exists(GuestsDirectory))
                Directory.Delete(GuestsDirectory);
        }
        _mount?.Dispose();
    }

    // Guests that have stopped meanwhile take their trees with them.
    private void ForgetGuests()
    {
        foreach ((string name, GuestMount mounted) in _guestMounts.ToArray())
        {
            if (_live.Host.Guests.Find(name) != mounted.Guest)
                Forget(name);
        }
    }

    private void Forget(string guest)
    {
        if (!_guestMounts.Remove(guest, out GuestMount? mounted))
            return;
        mounted.Bus.StopScanning();
        mounted.Mount.Dispose();
        Directory.Delete(mounted.Mount.Directory!);
    }

    private sealed record GuestMount(GuestProcess Guest, ApBus Bus, SysfsMount Mount);
}
