using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Apvirt.Control;

/// <summary>Whom this process trusts: its own user, and root, who can do everything anyway.</summary>
internal static class Users
{
    private const int LevelSocket = 1;
    private const int PeerCredentials = 17;

    /// <summary>Whom a peer is expected to be, for messages.</summary>
    internal static string Expected => LibC.EffectiveUser() == 0 ? "uid 0" : $"uid {LibC.EffectiveUser()} or root";

    /// <summary>Whether a user is this process's own or root.</summary>
    internal static bool IsTrusted(uint user) => user == 0 || user == LibC.EffectiveUser();

    /// <summary>The user at the other end of a Unix socket: who began to listen, or who connected (<c>SO_PEERCRED</c>).</summary>
    internal static uint PeerOf(Socket socket)
    {
        Span<uint> credentials = stackalloc uint[3];
        socket.GetRawSocketOption(LevelSocket, PeerCredentials, MemoryMarshal.AsBytes(credentials));
        // A process, its user, its group.
        return credentials[1];
    }
}
