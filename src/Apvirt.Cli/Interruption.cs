using System.Runtime.InteropServices;

namespace Apvirt.Cli;

/// <summary>Ctrl-C, for a command that then ends early and tells what it knows; a second one ends it at once.</summary>
internal sealed class Interruption : IDisposable
{
    private readonly PosixSignalRegistration _registration;
    private volatile bool _isAsked;

    internal Interruption() => _registration = PosixSignalRegistration.Create(PosixSignal.SIGINT, context =>
    {
        context.Cancel = !_isAsked;
        _isAsked = true;
    });

    /// <summary>Whether the command is to end.</summary>
    internal bool IsAsked => _isAsked;

    public void Dispose() => _registration.Dispose();
}
