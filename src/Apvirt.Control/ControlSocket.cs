using System.Net.Sockets;

namespace Apvirt.Control;

/// <summary>Where the control socket of a host is: a file in a directory that only its user can enter.</summary>
public static class ControlSocket
{
    /// <summary>Name of a host that was given none.</summary>
    public const string DefaultName = "default";

    private const string Remedy = "APVIRT_RUNTIME_DIR names another directory for control sockets";

    /// <summary>
    /// The runtime directory: <c>APVIRT_RUNTIME_DIR</c>, else <c>/run/apvirt</c> for root and <c>apvirt</c> in
    /// <c>XDG_RUNTIME_DIR</c> for others, or in the temporary directory.
    /// </summary>
    public static string Directory => Path.GetFullPath(
        Environment.GetEnvironmentVariable("APVIRT_RUNTIME_DIR") is { Length: > 0 } given ? given
        : Environment.IsPrivilegedProcess ? "/run/apvirt"
        : Path.Combine(Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") is { Length: > 0 } own ? own : Path.GetTempPath(), "apvirt"));

    /// <summary>The socket of a host.</summary>
    /// <param name="name">Name of the host.</param>
    public static string PathOf(string name) => Path.Combine(Directory, name + ".sock");

    /// <summary>Whether a host's name can be part of a file's name.</summary>
    /// <param name="name">The name.</param>
    public static bool IsName(string name) => name.Length is > 0 and <= 64 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_');

    /// <summary>Why the runtime directory cannot be used: another user may have made it, or could exchange it.</summary>
    /// <returns>Null if it can be, and if it does not exist yet.</returns>
    public static string? Examine() => RuntimeDirectory.Examine(Directory) is { } problem ? $"{problem}; {Remedy}" : null;

    /// <summary>Makes the runtime directory and takes away a socket that nobody listens to.</summary>
    /// <param name="name">Name of the host.</param>
    /// <returns>What stands in the way, null if nothing does.</returns>
    public static string? Prepare(string name)
    {
        if (Examine() is { } untrusted)
            return untrusted;
        try
        {
            System.IO.Directory.CreateDirectory(Directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            // Somebody else may have been faster.
            if (Examine() is { } exchanged)
                return exchanged;
            if (!File.Exists(PathOf(name)))
                return null;
            if (IsAlive(name))
                return $"a host named {name} is up already; end it with 'apvirt down --name {name}', or choose another --name";
            File.Delete(PathOf(name));
            return null;
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            return $"{Directory}: {problem.Message}; {Remedy}";
        }
    }

    private static bool IsAlive(string name)
    {
        using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(PathOf(name)));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
